//! The page of a run, in a real browser: it opens without complaint, every plot is drawn, nothing sticks out.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod browser_support;
mod run_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use browser_support::{Browser, View};
use dfdetect::report::{DatasetReport, RunFolder, Status, write_page};
use run_support::{HOSTILE, assess, begin, config, end, note, save_assessment};
use serde_json::{Value, json};

const VIEWS: [View; 4] = [
    View { width: 1400, scheme: "light" },
    View { width: 1400, scheme: "dark" },
    View { width: 380, scheme: "light" },
    View { width: 380, scheme: "dark" },
];

/// For each plot and each of its curves that is not pale on purpose: how many pixels of the curve's colour there are.
const DRAWN: &str = r#"(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = name => {
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  };
  return charts.map(chart => {
    const canvas = document.querySelector(`#${chart.id} canvas`);
    if (!canvas) return [chart.id, []];
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const count = colour => {
      let pixelsOfIt = 0;
      for (let i = 0; i < pixels.length; i += 4) {
        const far = Math.abs(pixels[i] - colour[0]) + Math.abs(pixels[i + 1] - colour[1]) + Math.abs(pixels[i + 2] - colour[2]);
        if (far < 24 && pixels[i + 3] > 60) pixelsOfIt++;
      }
      return pixelsOfIt;
    };
    const series = chart.series.filter(series => series.style !== "faint" && series.style !== "reference");
    const kinds = [...new Set(chart.marks.map(mark => mark.kind))].filter(kind => kind !== "point");
    return [chart.id, [...series.map(series => [series.label, count(rgb(`--c${series.colour}`))]),
      ...kinds.map(kind => [kind, count(rgb(`--${kind}`))])]];
  });
})()"#;

/// What is wider than the page, but for what scrolls by itself.
const STICKING_OUT: &str = r#"(() => {
  const scrolls = ".wide *, nav *, pre *, .skip";
  const out = [...document.body.querySelectorAll("*")]
    .filter(element => !element.matches(scrolls) && element.getBoundingClientRect().right > innerWidth + 1)
    .map(element => element.tagName + "." + element.className);
  return document.documentElement.scrollWidth > innerWidth ? ["the page", ...out] : out;
})()"#;

/// Opens the page in all views, checks what holds for every page, and leaves pictures for a person.
fn look_at(page: &Path, name: &str, least_plots: usize) {
    let mut browser = Browser::start();
    for view in VIEWS {
        browser.open(page, view);
        let picture = format!("report-{name}-{}-{}.png", view.width, view.scheme);
        browser.picture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(picture));
        let plots = browser.evaluate(DRAWN);
        let plots = plots.as_array().unwrap();
        assert!(plots.len() >= least_plots, "{name}: {} plots", plots.len());
        for plot in plots {
            let curves = plot[1].as_array().unwrap();
            assert!(!curves.is_empty(), "{name}, {view:?}: nothing is drawn of {}", plot[0]);
            for curve in curves {
                assert!(curve[1].as_u64().unwrap() > 20, "{name}, {view:?}: of {} there is no {curve}", plot[0]);
            }
        }
        assert_eq!(browser.evaluate(STICKING_OUT), json!([]), "{name}, {view:?}");
        assert_eq!(browser.evaluate("window.hacked"), Value::Null, "{name}");
        let ids = "(() => { const ids = [...document.querySelectorAll('[id]')].map(element => element.id); \
             return ids.filter((id, place) => ids.indexOf(id) !== place); })()";
        assert_eq!(browser.evaluate(ids), json!([]), "{name}: ids that are there twice");
        assert_eq!(browser.complaints, Vec::<String>::new(), "{name}, {view:?}");
    }
}

fn page(run: &Path) -> PathBuf {
    write_page(&RunFolder::open(run), &config(0.001)).unwrap();
    run.join("report.html")
}

#[test]
fn a_finished_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces-20261125-080000");
    begin(&run, &config(0.001), 8);
    assess(&run);
    end(&run, Status::Completed);
    fs::write(folder.path().join("outside.jpg"), "not of this run").unwrap();
    let page = page(&run);
    let html = fs::read_to_string(&page).unwrap();
    assert!(!html.contains(HOSTILE) && !html.contains("<img src=x"), "a name is not escaped");
    assert_eq!(html.matches("data:image/jpeg").count(), 1, "one picture is in the folder, one is not");
    assert!(html.len() < 500_000, "{} bytes", html.len());
    look_at(&page, "finished", 14);

    let mut browser = Browser::start();
    browser.open(&page, VIEWS[0]);
    // The numbers behind a plot, a walk along it by keyboard, and what screen readers get.
    let rows = "(() => { const details = document.querySelector('[data-chart=plot-loss]'); details.open = true; \
         return new Promise(done => setTimeout(() => done(details.querySelectorAll('tbody tr').length), 50)); })()";
    assert_eq!(browser.evaluate(rows), 320);
    let walk = "(() => { const plot = document.getElementById('plot-auc'); \
         for (const key of ['Home', 'ArrowRight']) plot.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); \
         return [...plot.querySelectorAll('.u-value')].map(value => value.textContent); })()";
    assert_eq!(browser.evaluate(walk)[0], "80");
    let said = "document.getElementById('plot-auc').parentElement.querySelector('.here').textContent";
    let said = browser.evaluate(said);
    assert!(said.as_str().unwrap().contains("80 · "), "what screen readers hear of it: {said}");
    let unnamed = "[...document.querySelectorAll('img:not([alt]), [role=img]:not([aria-label]), th:empty')].length";
    assert_eq!(browser.evaluate(unnamed), 0);
    let label = browser.evaluate("document.getElementById('plot-auc').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().contains("validation, videos: from 0.628 to"), "{label}");
    assert_eq!(browser.evaluate("document.scripts.length"), 2);
}

/// What an earlier end of it says of its tests is of weights that are no longer the run's.
#[test]
fn a_finished_run_that_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 8);
    assess(&run);
    end(&run, Status::Completed);
    assert!(fs::read_to_string(page(&run)).unwrap().contains("test video AUC"));
    let log = fs::read_to_string(RunFolder::open(&run).log()).unwrap();
    let steps = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut next = steps.rev().find(|line| line["kind"] == "step").unwrap();
    next["step"] = json!(next["step"].as_u64().unwrap() + 1);
    next.as_object_mut().unwrap().remove("kind");
    note(&run, "step", &next);
    let html = fs::read_to_string(page(&run)).unwrap();
    assert!(html.contains("not ended") && !html.contains("test video AUC"));
}

#[test]
fn an_interval_without_width_is_no_certainty_and_a_missing_one_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 8);
    assess(&run);
    end(&run, Status::Completed);
    let says = |part: &str| fs::read_to_string(page(&run)).unwrap().contains(part);
    let [rarer, few, why] = ["mistakes rarer than one in", "Too few people to say", "fewer than 6 independent people"];
    assert!(!says(rarer) && !says(few) && !says(why));
    let path = RunFolder::open(&run).evaluation();
    let mut evaluation: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    evaluation["sets"][0]["overall"]["video_auc_ci95"] = json!([1.0, 1.0]);
    fs::write(&path, evaluation.to_string()).unwrap();
    assert!(says(rarer));
    evaluation["sets"][0]["overall"]["video_auc_ci95"] = Value::Null;
    evaluation["sets"][0]["drawn_over"]["unit"] = json!("too_few");
    fs::write(&path, evaluation.to_string()).unwrap();
    assert!(says(few) && says(why) && !says(rarer));
}

/// No report, no evaluation, and the last line of the log is being written.
#[test]
fn a_run_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 3);
    let log = RunFolder::open(&run).log();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() - 30]).unwrap();
    let page = page(&run);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("not ended") && html.contains("Epoch 3 of 8 · step 124"), "{}", html.len());
    assert!(html.contains("all epochs would take about 2 min 25 s more"));
    assert!(!html.contains("could not be read"), "a line that is being written is no damage");
    look_at(&page, "going-on", 8);
}

#[test]
fn a_run_before_its_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 0);
    fs::remove_file(RunFolder::open(&run).log()).unwrap();
    fs::remove_file(RunFolder::open(&run).manifest()).unwrap();
    look_at(&page(&run), "nothing-yet", 0);
}

/// Only reals were scored: there is no AUC and no curve.
#[test]
fn a_test_of_one_class() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 8);
    end(&run, Status::Failed);
    let mut set = DatasetReport { name: "test".into(), ..DatasetReport::default() };
    (set.overall.acc, set.overall.acc_real, set.overall.videos) = (Some(0.75), Some(0.75), 20);
    save_assessment(&run, vec![set]);
    let page = page(&run);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("No curves: for these, real and fake videos are needed"));
    assert!(html.contains("specificity") && !html.contains("video AUC</th><td"));
    look_at(&page, "one-class", 8);
}

#[test]
fn a_run_that_ran_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 8);
    assess(&run);
    end(&run, Status::Interrupted);
    let size = |step: u64, before: u32, after: u32, cause: &str| {
        json!({"step": step, "device": "Cpu", "phase": "train", "cause": cause, "before": {"micro_batch": before},
            "after": {"micro_batch": after}, "requested_bytes": 734_003_200, "lost_ms": 310, "message": "out of memory"})
    };
    let reading = |used: u64| json!({"host": {"used_bytes": used << 30, "total_bytes": 16_u64 << 30}});
    let cleanup = json!({"step": 130, "reason": "out_of_memory", "before": reading(15), "after": reading(9),
        "freed_bytes": 6_442_450_944_u64, "ms": 12.5, "changes": ["cache: 40 of 80 clips"]});
    note(&run, "oom", &size(100, 8, 4, "out_of_memory"));
    note(&run, "cleanup", &cleanup);
    note(&run, "shrink", &size(160, 4, 2, "pressure"));
    note(&run, "grow", &size(240, 2, 4, "room"));
    let page = page(&run);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("It ran out 1 time, and went on"));
    assert!(html.contains("train: micro-batch 8 to micro-batch 4; 700.0 MiB were asked for; 310 ms lost"));
    assert!(html.contains("memory had run out, 6.0 GiB freed in 12 ms; cache: 40 of 80 clips"));
    look_at(&page, "out-of-memory", 11);
}

/// Each failure on a GPU says who held its memory; the names of programs are text.
#[test]
fn a_run_whose_gpu_ran_out_of_memory() {
    const GIB: u64 = 1 << 30;
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("faces");
    begin(&run, &config(0.001), 8);
    assess(&run);
    end(&run, Status::Completed);
    let failure = |step: u64, micro_batch: u32, held_by: &str, reserved: u64, allocated: u64, others: Value| {
        json!({"step": step, "device": "Cuda(0)", "phase": "train", "cause": "out_of_memory",
            "before": {"micro_batch": micro_batch}, "after": {"micro_batch": micro_batch / 2}, "lost_ms": 310,
            "requested_bytes": GIB / 2, "message": "CUDA out of memory", "shortage": {"held_by": held_by, "total_bytes": 12 * GIB,
            "free_bytes": 0, "reserved_bytes": reserved * GIB, "allocated_bytes": allocated * GIB, "others": others}})
    };
    let other =
        json!([{"pid": 4242, "used_bytes": 7 * GIB, "name": HOSTILE}, {"pid": 17, "used_bytes": null, "name": null}]);
    note(&run, "oom", &failure(40, 12, "tensors", 12, 11, json!([])));
    note(&run, "oom", &failure(41, 6, "fragments", 11, 8, json!([])));
    note(&run, "oom", &failure(120, 3, "other_processes", 4, 3, other));
    note(&run, "oom", &failure(200, 2, "driver", 4, 3, json!([])));
    let path = RunFolder::open(&run).report();
    let mut report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    report["memory"]["oom_events"] = 4.into();
    report["memory"]["oom_advice"] =
        "8.0 GiB of the GPU were neither libtorch's nor of a program that the driver names".into();
    fs::write(&path, report.to_string()).unwrap();
    let page = page(&run);
    let html = fs::read_to_string(&page).unwrap();
    for told in [
        "tensors held 11.0 GiB of the 12.0 GiB that this process may have: a smaller training.batch_size",
        "3.0 GiB that libtorch kept were unused, but in pieces: expandable_segments is off",
        "(pid 4242) 7.0 GiB, a program (pid 17)",
        "8.0 GiB of the GPU were neither libtorch's nor of a program that the driver names: look at",
        "The last time, 8.0 GiB of the GPU",
    ] {
        assert!(html.contains(told), "{told}");
    }
    assert!(!html.contains(HOSTILE), "a name is not escaped");
    look_at(&page, "gpu-out-of-memory", 11);
}

/// A page that cannot be written ends nothing, and the command says why.
#[test]
fn runs_are_compared_on_a_page_and_addresses_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let runs = ["a b", "c"].map(|name| folder.path().join(name));
    for (run, rate) in runs.iter().zip([0.001, 0.0003]) {
        begin(run, &config(rate), 8);
        assess(run);
        end(run, Status::Completed);
    }
    let report = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.arg("report").args(arguments).arg("--run").arg(&runs[0]).arg("--run").arg(&runs[1]);
        let output = command.output().unwrap();
        (output.status.code(), [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()))
    };
    let (code, [stdout, stderr]) = report(&["--open"]);
    let page = folder.path().canonicalize().unwrap().join("comparison.html");
    assert_eq!((code, stdout.trim_end()), (Some(0), &*format!("file://{}", page.display())), "{stderr}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("training.learning_rate") && html.contains("0.0003"));
    look_at(&page, "comparison", 4);

    let (code, [stdout, stderr]) = report(&["--output", "/nowhere/page.html"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("test AUC"), "the tables come first: {stdout}");
    assert!(
        stderr.contains("/nowhere/page.html: the page cannot be written") && stderr.contains("\n  hint: "),
        "{stderr}"
    );

    let mut one = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    let output = one.args(["report", "--open", "--run"]).arg(&runs[0]).output().unwrap();
    let address = String::from_utf8(output.stdout).unwrap();
    assert!(address.trim_end().ends_with("/a%20b/report.html"), "{address}");
}
