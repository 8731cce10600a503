//! The keys that advice may change, in the order in which a change costs quality, with the reason for each.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::ladder::Room;
use crate::config::{AutoBytes, Config};

/// One change worth making.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Dotted key of the configuration.
    pub key: String,
    /// Its value now.
    pub current: Value,
    /// A better one.
    pub proposed: Value,
    /// Why, in one sentence.
    pub reason: String,
    /// How much less memory the run takes, with the suggestions before it made; negative where it takes more.
    pub saves_bytes: i64,
}

/// A key that advice may change.
struct Knob {
    key: &'static str,
    value: fn(&Config) -> Value,
    /// Copies the key's value from the second configuration.
    copy: fn(&mut Config, &Config),
    /// Why the change from the first configuration to the second is a good one.
    reason: fn(&Config, &Config) -> String,
}

/// In the order in which a change costs quality.
const KNOBS: [Knob; 11] = [
    Knob {
        key: "gpu.mixed_precision",
        value: |config| json!(config.gpu.mixed_precision),
        copy: |config, from| config.gpu.mixed_precision = from.gpu.mixed_precision,
        reason: |_, _| "half-size activations at the same accuracy; also faster".into(),
    },
    Knob {
        key: "training.batch_size",
        value: |config| json!(config.training.batch_size),
        copy: |config, from| config.training.batch_size = from.training.batch_size,
        reason: |old, new| {
            let effective = old.training.effective_batch();
            if old.training.batch_size == new.training.batch_size {
                "the largest that is predicted to fit, at most 32".into()
            } else if new.training.batch_size.clips() < old.training.batch_size.clips() {
                format!("fewer clips at once; with accumulation an optimizer step still sees {effective}")
            } else {
                format!("there is room for larger batches; an optimizer step still sees {effective} clips")
            }
        },
    },
    Knob {
        key: "training.gradient_accumulation",
        value: |config| json!(config.training.gradient_accumulation),
        copy: |config, from| config.training.gradient_accumulation = from.training.gradient_accumulation,
        reason: |_, new| {
            let training = &new.training;
            let effective = training.effective_batch();
            match training.gradient_accumulation {
                1 => format!("one batch holds all {effective} clips"),
                batches => format!("{batches} batches of {} make {effective} clips", training.batch_size.clips()),
            }
        },
    },
    Knob {
        key: "model.activation_checkpointing",
        value: |config| json!(config.model.activation_checkpointing),
        copy: |config, from| config.model.activation_checkpointing = from.model.activation_checkpointing,
        reason: |_, _| "stages of the backbone run again in backward instead of being kept; costs time alone".into(),
    },
    Knob {
        key: "cache.memory_bytes",
        value: |config| match config.cache.memory_bytes {
            AutoBytes::Auto => json!("auto"),
            AutoBytes::Bytes(bytes) if bytes.is_multiple_of(1 << 20) => json!(format!("{}MiB", bytes >> 20)),
            AutoBytes::Bytes(bytes) => json!(bytes),
        },
        copy: |config, from| config.cache.memory_bytes = from.cache.memory_bytes,
        reason: |_, _| "the frame cache could grow into memory that training needs; costs only time".into(),
    },
    Knob {
        key: "cache.enable_cache",
        value: |config| json!(config.cache.enable_cache),
        copy: |config, from| config.cache.enable_cache = from.cache.enable_cache,
        reason: |_, _| "no host memory is left for cached frames; costs only time".into(),
    },
    Knob {
        key: "dataloader.prefetch_factor",
        value: |config| json!(config.dataloader.prefetch_factor),
        copy: |config, from| config.dataloader.prefetch_factor = from.dataloader.prefetch_factor,
        reason: |_, _| "fewer decoded batches wait in host memory".into(),
    },
    Knob {
        key: "dataloader.num_workers",
        value: |config| json!(config.dataloader.num_workers),
        copy: |config, from| config.dataloader.num_workers = from.dataloader.num_workers,
        reason: |old, new| {
            if new.dataloader.num_workers < old.dataloader.num_workers {
                "more decoding threads than the machine can feed only take memory".into()
            } else {
                "cores lie idle while the trainer waits for decoded clips".into()
            }
        },
    },
    Knob {
        key: "data.max_frames",
        value: |config| json!(config.data.max_frames),
        copy: |config, from| config.data.max_frames = from.data.max_frames,
        reason: |_, _| "shorter clips; the head sees less of a movement".into(),
    },
    Knob {
        key: "data.frame_size",
        value: |config| json!(config.data.frame_size),
        copy: |config, from| config.data.frame_size = from.data.frame_size,
        reason: |_, _| "smaller pictures; fine traces of a forgery are harder to see".into(),
    },
    Knob {
        key: "model.backbone",
        value: |config| json!(config.model.backbone),
        copy: |config, from| config.model.backbone = from.model.backbone,
        reason: |_, _| "a smaller network; the last thing to give up".into(),
    },
];

/// What differs between `config` (with its batch size `settled`) and `best`, knob by knob.
pub(super) fn explain(config: &Config, settled: &Config, best: &Config, room: &Room) -> Vec<Suggestion> {
    let mut here = settled.clone();
    let mut suggestions = Vec::new();
    for knob in KNOBS {
        let (current, proposed) = ((knob.value)(config), (knob.value)(best));
        if current == proposed {
            continue;
        }
        let before = here.clone();
        (knob.copy)(&mut here, best);
        let saves = |need: &dyn Fn(&Config) -> u64| need(&before).cast_signed() - need(&here).cast_signed();
        let saves_bytes = match saves(&|config| room.step(config).peak_bytes) {
            0 => saves(&|config| room.host_work_bytes(config).saturating_add(room.cache_bytes(config))),
            of_the_step => of_the_step,
        };
        let reason = (knob.reason)(settled, best);
        suggestions.push(Suggestion { key: knob.key.into(), current, proposed, reason, saves_bytes });
    }
    suggestions
}

/// The suggested values by key.
pub(super) fn proposed(suggestions: &[Suggestion]) -> BTreeMap<String, Value> {
    suggestions.iter().map(|change| (change.key.clone(), change.proposed.clone())).collect()
}
