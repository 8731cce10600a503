//! Suggestions: the keys that advice may change, in the order in which a change costs quality, with the reason for
//! each. Looks for no settings; that is `search.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::budget::MemoryBudget;
use crate::config::{AutoBytes, Config};

/// One suggested change of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Dotted key of the configuration.
    pub key: String,
    /// Its value now.
    pub current: Value,
    /// The suggested value.
    pub proposed: Value,
    /// The reason, in one sentence.
    pub reason: String,
    /// Bytes that the change saves on top of the suggestions before it; negative where the run takes more.
    pub saves_bytes: i64,
}

/// A key that advice may change.
struct AdvisedKey {
    key: &'static str,
    value: fn(&Config) -> Value,
    /// Copies the key's value from the second configuration.
    copy: fn(&mut Config, &Config),
    /// The reason for the change from the first configuration to the second.
    reason: fn(&Config, &Config) -> String,
}

/// A key whose value is shown as it stands in the configuration.
macro_rules! advised_key {
    ($section:ident.$key:ident, $reason:expr) => {
        AdvisedKey {
            key: concat!(stringify!($section), ".", stringify!($key)),
            value: |config| json!(config.$section.$key),
            copy: |config, from| config.$section.$key = from.$section.$key,
            reason: $reason,
        }
    };
}

/// All keys that advice may change, in the order in which a change costs quality.
const ADVISED_KEYS: [AdvisedKey; 12] = [
    advised_key!(gpu.mixed_precision, |_, _| "half-size activations at the same accuracy; also faster".into()),
    advised_key!(training.batch_size, |old, new| {
        let effective = old.training.effective_batch();
        if old.training.batch_size == new.training.batch_size {
            "the largest that is predicted to fit, at most 32".into()
        } else if new.training.batch_size.clips() < old.training.batch_size.clips() {
            format!("fewer clips at once; with accumulation an optimizer step still sees {effective}")
        } else {
            format!("there is room for larger batches; an optimizer step still sees {effective} clips")
        }
    }),
    advised_key!(training.gradient_accumulation, |_, new| {
        let training = &new.training;
        let effective = training.effective_batch();
        match training.gradient_accumulation {
            1 => format!("one batch holds all {effective} clips"),
            batches => format!("{batches} batches of {} make {effective} clips", training.batch_size.clips()),
        }
    }),
    advised_key!(model.activation_checkpointing, |_, _| {
        "stages of the backbone run again in backward instead of being kept; costs time alone".into()
    }),
    AdvisedKey {
        value: |config| match config.cache.memory_bytes {
            AutoBytes::Auto => json!("auto"),
            AutoBytes::Bytes(bytes) if bytes.is_multiple_of(1 << 20) => json!(format!("{}MiB", bytes >> 20)),
            AutoBytes::Bytes(bytes) => json!(bytes),
        },
        ..advised_key!(cache.memory_bytes, |_, _| {
            "the frame cache could grow into memory that training needs; costs only time".into()
        })
    },
    advised_key!(cache.enable_cache, |_, _| "no host memory is left for cached frames; costs only time".into()),
    advised_key!(dataloader.prefetch_factor, |_, _| "fewer decoded batches wait in host memory".into()),
    advised_key!(dataloader.num_workers, |old, new| {
        if new.dataloader.num_workers < old.dataloader.num_workers {
            "more decoding threads than the machine can feed only take memory".into()
        } else {
            "cores lie idle while the trainer waits for decoded clips".into()
        }
    }),
    advised_key!(data.frames_per_epoch, |_, _| "fewer frames of a clip in a step; an epoch shows less of each video"
        .into()),
    advised_key!(data.max_frames, |_, _| "shorter clips; the head sees less of a movement".into()),
    advised_key!(data.frame_size, |_, _| "smaller pictures; fine traces of a forgery are harder to see".into()),
    advised_key!(model.backbone, |_, _| "a smaller network; the last thing to give up".into()),
];

/// The changes from `config` to `best`, key by key. `sized` is `config` with a number in place of `training.batch_size:
/// auto`.
pub(super) fn suggestions(config: &Config, sized: &Config, best: &Config, budget: &MemoryBudget) -> Vec<Suggestion> {
    let mut here = sized.clone();
    let mut suggestions = Vec::new();
    for advised in ADVISED_KEYS {
        let (current, proposed) = ((advised.value)(config), (advised.value)(best));
        if current == proposed {
            continue;
        }
        let before = here.clone();
        (advised.copy)(&mut here, best);
        let saves = |need: &dyn Fn(&Config) -> u64| need(&before).cast_signed() - need(&here).cast_signed();
        let saves_bytes = match saves(&|config| budget.step(config).peak_bytes) {
            0 => saves(&|config| budget.host_work_bytes(config).saturating_add(budget.cache_bytes(config))),
            of_the_step => of_the_step,
        };
        let reason = (advised.reason)(sized, best);
        suggestions.push(Suggestion { key: advised.key.into(), current, proposed, reason, saves_bytes });
    }
    suggestions
}

/// The suggested values, by key.
pub(super) fn proposed_values(suggestions: &[Suggestion]) -> BTreeMap<String, Value> {
    suggestions.iter().map(|change| (change.key.clone(), change.proposed.clone())).collect()
}
