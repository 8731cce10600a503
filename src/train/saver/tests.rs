//! Checkpoints that are written while training goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use tch::Device;
use tempfile::TempDir;

use super::*;
use crate::backbone::Backbone;
use crate::config::MemoryManagement;
use crate::dataset::Manifest;
use crate::memory::{DeviceGauge, Guard, MemoryPolicy, MicroBatchSizes, Reading, Reason, checkpoint_copy_bytes};
use crate::model::Detector;
use crate::optim::{Loss, LossScaler};
use crate::report::{LivePage, RunLog};
use crate::torch::{Format, generator_lock};
use crate::train::fault::FAULTS;
use crate::train::{Learner, Stepper, TrainState};

const FILES: [&str; 3] = ["model.safetensors", "model_ema.safetensors", "optimizer.safetensors"];

/// A ResNet-18 with weights in NHWC order, an average of them, and AdamW; all checkpoints stay.
fn config() -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.hidden_dim, config.model.attention_heads) = (Backbone::Resnet18, 16, 2);
    (config.training.ema_decay, config.output.keep_last, config.gpu.channels_last) = (Some(0.9), 9, true);
    config
}

fn model(config: &Config) -> ModelState<'_> {
    let _alone = generator_lock();
    let detector = || Detector::new(&config.model, Device::Cpu, Format::F32, config.gpu.channels_last).unwrap();
    let learner = Learner::new(&config.training, detector(), Some(detector())).unwrap();
    let guard = || {
        let sizes = MicroBatchSizes::training(config, false);
        Guard::new("train", sizes, Box::new(DeviceGauge::new(Device::Cpu)), true, 0)
    };
    let loss = Loss::new(&config.loss, [1, 1]);
    let scaler = LossScaler::new(false);
    let state = TrainState::new(scaler.clone(), config.training.batch_size.clips());
    let stepper = Stepper::new(config, learner, loss, scaler, guard(), Box::new(|| {})).unwrap();
    ModelState { stepper, evaluate_guard: guard(), state }
}

/// Calls `test` with the saver, the model and the recorder of a run in a folder of its own.
fn in_a_run(config: &Config, test: impl FnOnce(&mut Saver, &mut ModelState, &Recorder, &MemoryManager)) {
    let folder = TempDir::new().unwrap();
    let manifest = Manifest { sets: Vec::new(), videos: Vec::new(), skipped: Vec::new() };
    let folder = RunFolder::open(folder.path());
    let log = RunLog::open(&folder.log(), 0).unwrap();
    let policy = MemoryPolicy { monitoring: false, ..MemoryPolicy::from(&MemoryManagement::default()) };
    let memory = MemoryManager::start(&policy, || Reading::take(Device::Cpu));
    let mut saver = Saver::new(config, &folder, &memory);
    let recorder = Recorder { config, manifest: &manifest, folder, log, page: LivePage::default() };
    test(&mut saver, &mut model(config), &recorder, &memory);
    saver.finish().unwrap();
}

/// A later state of training: another step, and this number in all tensors.
fn train_to(model: &mut ModelState, step: u64, number: f64) {
    let _no_grad = tch::no_grad_guard();
    let learner = &model.stepper.learner;
    let networks = [learner.detector.parameters(), learner.ema_parameters().unwrap()];
    let weights = networks.into_iter().flat_map(|parameters| parameters.iter().map(|parameter| &parameter.tensor));
    for tensor in weights.chain(learner.optimizer.state().into_iter().map(|(_, tensor)| tensor)) {
        let _ = tensor.shallow_clone().fill_(number);
    }
    model.state.step = step;
}

/// The numbers in all tensors of a checkpoint.
fn numbers(checkpoint: &Path) -> Vec<f32> {
    let mut numbers = BTreeSet::new();
    for file in FILES {
        let bytes = fs::read(checkpoint.join(file)).unwrap();
        for (_, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            numbers.extend(tensor.data().chunks_exact(4).map(|number| <[u8; 4]>::try_from(number).unwrap()));
        }
    }
    numbers.into_iter().map(f32::from_le_bytes).collect()
}

fn state_of(checkpoint: &Path) -> TrainState {
    serde_json::from_slice(&fs::read(checkpoint.join("state.json")).unwrap()).unwrap()
}

#[test]
fn training_that_goes_on_does_not_change_what_is_saved() {
    let config = config();
    in_a_run(&config, |saver, model, recorder, _| {
        saver.save_and_wait(model, recorder).unwrap();
        model.state.step = 1;
        saver.save(model, recorder, true).unwrap();
        train_to(model, 2, 7.0);
        let checkpoints = saver.checkpoints().unwrap();
        let [at_once, beside] = ["step-00000000", "step-00000001"].map(|name| checkpoints.path(name));
        for file in FILES {
            let [expected, found] = [&at_once, &beside].map(|folder| fs::read(folder.join(file)).unwrap());
            assert!(found == expected, "{file} differs");
        }
        assert_eq!(state_of(&beside), TrainState { step: 1, ..state_of(&at_once) });
        assert_eq!(checkpoints.path("best").canonicalize().unwrap(), beside.canonicalize().unwrap());
        assert_eq!(model.state.saves_without_copy, 0);
    });
}

#[test]
fn checkpoints_arrive_in_their_order_each_with_its_own_numbers() {
    let config = config();
    in_a_run(&config, |saver, model, recorder, _| {
        for step in 1..=3 {
            train_to(model, step, step as f64);
            saver.save(model, recorder, false).unwrap();
        }
        train_to(model, 4, 4.0);
        let checkpoints = saver.checkpoints().unwrap();
        let all = checkpoints.all();
        assert_eq!(all.iter().map(|(_, state)| state.step).collect::<Vec<_>>(), [1, 2, 3]);
        for (name, state) in &all {
            assert_eq!(numbers(&checkpoints.path(name)), [state.step as f32], "{name}");
        }
        assert_eq!(state_of(&checkpoints.path("last")).step, 3);
    });
}

/// Waits, and leaves the result to be asked for.
fn wait_until_it_is_written(saver: &Saver) {
    while saver.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
        std::thread::yield_now();
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_reported_by_whatever_comes_next() {
    let mut config = config();
    config.output.save_every_secs = 1e9;
    in_a_run(&config, |saver, model, recorder, _| {
        let taken = recorder.folder.path().join("checkpoints");
        fs::write(&taken, "a file where the folder should be").unwrap();
        let unwritten = |result: Result<(), CheckpointError>| {
            let error = result.unwrap_err();
            assert!(!error.is_usage() && error.to_string().contains("the checkpoint cannot be written"), "{error}");
        };
        saver.save(model, recorder, false).unwrap();
        unwritten(saver.save(model, recorder, false));
        saver.save(model, recorder, false).unwrap();
        unwritten(saver.finish());
        saver.save(model, recorder, false).unwrap();
        unwritten(saver.checkpoints().map(drop));
        saver.save(model, recorder, false).unwrap();
        unwritten(saver.save_and_wait(model, recorder));
        unwritten(saver.save_and_wait(model, recorder));
        saver.save(model, recorder, false).unwrap();
        wait_until_it_is_written(saver);
        unwritten(saver.save_when_due(model, recorder));

        // One that failed does not keep a later one from being written.
        saver.save(model, recorder, false).unwrap();
        wait_until_it_is_written(saver);
        fs::remove_file(&taken).unwrap();
        saver.save_and_wait(model, recorder).unwrap();
        fs::remove_dir_all(&taken).unwrap();
        fs::write(&taken, "").unwrap();
        saver.save(model, recorder, false).unwrap();
        wait_until_it_is_written(saver);
        fs::remove_file(&taken).unwrap();
        saver.save_after_failure(model, recorder, true);
        assert_eq!(state_of(&saver.checkpoints.path("last")).step, 0);
    });
}

#[test]
fn without_memory_for_a_copy_a_checkpoint_is_written_at_once_and_counted() {
    let config = config();
    in_a_run(&config, |saver, model, recorder, _| {
        train_to(model, 1, 1.0);
        FAULTS.set(vec![(0, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")]);
        saver.save(model, recorder, false).unwrap();
        assert!(saver.writing.is_none());
        let last = saver.checkpoints.path("last");
        assert_eq!((numbers(&last), state_of(&last).saves_without_copy), (vec![1.0], 1));
        saver.save(model, recorder, false).unwrap();
        assert!(saver.writing.is_some());
    });
}

/// The memory of a copy is there for the next one, wherever that one is written, and goes where memory is cleaned up.
#[test]
fn the_memory_of_a_copy_is_used_again_until_memory_is_cleaned_up() {
    let config = config();
    in_a_run(&config, |saver, model, recorder, memory| {
        let place = |saver: &Saver| saver.room.borrow().as_ref().map(|room| room.iter().next().unwrap().data_ptr());
        let mut places = Vec::new();
        for _ in 0..2 {
            saver.save(model, recorder, false).unwrap();
            assert_eq!(place(saver), None, "it is in use");
            saver.finish().unwrap();
            places.push(place(saver).unwrap());
        }
        assert_eq!(places[0], places[1]);
        memory.clean(Reason::OutOfMemory);
        assert_eq!(place(saver), None);
        saver.save(model, recorder, false).unwrap();
    });
}

#[test]
fn a_copy_takes_what_is_predicted() {
    for freeze in ["[]", "[stem,layer1]"] {
        let mut config = config();
        config.model.freeze = serde_yaml::from_str(freeze).unwrap();
        in_a_run(&config, |_, model, recorder, _| {
            assert_eq!(contents(model, recorder, &config).tensor_bytes(), checkpoint_copy_bytes(&config), "{freeze}");
        });
    }
}
