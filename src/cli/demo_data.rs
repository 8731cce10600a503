//! `dfdetect demo-data`: the arguments, and the summary of the new data set as text and JSON. Makes no videos; that is
//! `demo`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;

use super::stop::stop_flag;
use crate::demo::{self, DemoError, Made, PEOPLE_SHARED, Summary};
use crate::face::CenterFace;
use crate::report::bordered_table;
use crate::run::RunError;

const EXAMPLES: &str = "Examples:
  dfdetect demo-data --output demo                        160 videos, under a minute
  dfdetect demo-data --output tiny --videos 24 --seed 7   a smaller set with other people in it
  dfdetect demo-data --output mine --from my_videos       a set from real videos: their faces, blended into themselves";

/// Arguments of `dfdetect demo-data`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoDataArgs {
    /// Folder to make; one that holds the same set already is left as it is
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Make it from the real videos in this folder (any depth) by blending their faces into themselves
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Number of videos, from 8: half of them real, half forgeries of these; about 100 are enough to train on. With
    /// --from fewer where the footage is short
    #[arg(short = 'n', long, value_name = "N", default_value_t = 160)]
    videos: usize,
    /// Where the random numbers start: the same seed and number give the same bytes
    #[arg(long, value_name = "S", default_value_t = 42)]
    seed: u64,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DemoDataArgs) -> Result<()> {
    let summary = match make(args) {
        Err(error) if matches!(error.downcast_ref(), Some(DemoError::Interrupted)) => {
            return Err(RunError::Interrupted { hint: None }.into());
        }
        made => made?,
    };
    if args.json { print_json(args, &summary) } else { print_table(args, &summary) }
}

fn make(args: &DemoDataArgs) -> Result<Summary> {
    let stop = stop_flag()?;
    if let Some(from) = &args.from {
        let detector = CenterFace::load().map_err(DemoError::Detector)?;
        let summary = demo::make_from(&args.output, from, args.videos, args.seed, &detector, &stop)?;
        if summary.videos < args.videos {
            tracing::warn!("the footage is enough for {} videos, not for {}", summary.videos, args.videos);
        }
        if summary.footage.as_ref().is_some_and(|footage| footage.people_shared) {
            tracing::warn!("{PEOPLE_SHARED}");
        }
        return Ok(summary);
    }
    match demo::make(&args.output, args.videos, args.seed, &stop)? {
        Made::New(summary) => Ok(summary),
        Made::Before(summary) => {
            tracing::info!("{} holds this set already, nothing to do", args.output.display());
            Ok(summary)
        }
    }
}

fn print_json(args: &DemoDataArgs, summary: &Summary) -> Result<()> {
    let mut json = serde_json::to_value(summary)?;
    json["data"] = args.output.display().to_string().into();
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&json)?)?;
    Ok(())
}

fn print_table(args: &DemoDataArgs, summary: &Summary) -> Result<()> {
    let data = args.output.display();
    let Summary { videos, real, fake, people, bytes, .. } = summary;
    let origin = match &summary.footage {
        Some(footage) => format!("from {} of your own", footage.videos),
        None => format!("of {people} people"),
    };
    writeln!(io::stdout(), "{videos} videos {origin} in {data}: {real} real, {fake} fake, {}", ByteSize(*bytes))?;
    for left_out in summary.footage.iter().flat_map(|footage| &footage.left_out) {
        writeln!(io::stdout(), "  left out: {}: {}", left_out.path.display(), left_out.reason)?;
    }
    writeln!(io::stdout(), "A look at them: {}\n", args.output.join("preview.png").display())?;
    writeln!(io::stdout(), "What tells real from fake without looking at the faces (AUC, 0.5 is chance):")?;
    let mut table = bordered_table();
    table.set_header(["cue", "AUC"]);
    for cue in &summary.cues {
        table.add_row([cue.cue.clone(), format!("{:.3}", cue.auc)]);
    }
    writeln!(io::stdout(), "{table}\n")?;
    writeln!(io::stdout(), "Next: dfdetect train --config configs/quick_demo.yaml --data {data}")?;
    Ok(())
}
