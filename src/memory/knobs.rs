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

/// The knob of a key that is shown as it stands in the configuration.
macro_rules! knob {
    ($section:ident.$key:ident, $reason:expr) => {
        Knob {
            key: concat!(stringify!($section), ".", stringify!($key)),
            value: |config| json!(config.$section.$key),
            copy: |config, from| config.$section.$key = from.$section.$key,
            reason: $reason,
        }
    };
}

/// In the order in which a change costs quality.
const KNOBS: [Knob; 11] = [
    knob!(gpu.mixed_precision, |_, _| "half-size activations at the same accuracy; also faster".into()),
    knob!(training.batch_size, |old, new| {
        let effective = old.training.effective_batch();
        if old.training.batch_size == new.training.batch_size {
            "the largest that is predicted to fit, at most 32".into()
        } else if new.training.batch_size.clips() < old.training.batch_size.clips() {
            format!("fewer clips at once; with accumulation an optimizer step still sees {effective}")
        } else {
            format!("there is room for larger batches; an optimizer step still sees {effective} clips")
        }
    }),
    knob!(training.gradient_accumulation, |_, new| {
        let training = &new.training;
        let effective = training.effective_batch();
        match training.gradient_accumulation {
            1 => format!("one batch holds all {effective} clips"),
            batches => format!("{batches} batches of {} make {effective} clips", training.batch_size.clips()),
        }
    }),
    knob!(model.activation_checkpointing, |_, _| {
        "stages of the backbone run again in backward instead of being kept; costs time alone".into()
    }),
    Knob {
        value: |config| match config.cache.memory_bytes {
            AutoBytes::Auto => json!("auto"),
            AutoBytes::Bytes(bytes) if bytes.is_multiple_of(1 << 20) => json!(format!("{}MiB", bytes >> 20)),
            AutoBytes::Bytes(bytes) => json!(bytes),
        },
        ..knob!(cache.memory_bytes, |_, _| {
            "the frame cache could grow into memory that training needs; costs only time".into()
        })
    },
    knob!(cache.enable_cache, |_, _| "no host memory is left for cached frames; costs only time".into()),
    knob!(dataloader.prefetch_factor, |_, _| "fewer decoded batches wait in host memory".into()),
    knob!(dataloader.num_workers, |old, new| {
        if new.dataloader.num_workers < old.dataloader.num_workers {
            "more decoding threads than the machine can feed only take memory".into()
        } else {
            "cores lie idle while the trainer waits for decoded clips".into()
        }
    }),
    knob!(data.max_frames, |_, _| "shorter clips; the head sees less of a movement".into()),
    knob!(data.frame_size, |_, _| "smaller pictures; fine traces of a forgery are harder to see".into()),
    knob!(model.backbone, |_, _| "a smaller network; the last thing to give up".into()),
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
