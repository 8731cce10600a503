//! Advice that is no change of a key, in whole sentences. Changes of keys are in `suggestion.rs`.

use bytesize::ByteSize;

use super::batch_size::{LARGEST_BATCH, batch_size_candidates};
use super::budget::MemoryBudget;
use crate::config::{BatchSize, Config};
use crate::memory::predict::DeviceKind;
use crate::torch::Format;

/// Advice that suggestions of keys cannot give.
pub(super) fn notes(config: &Config, best: &Config, budget: &MemoryBudget) -> Vec<String> {
    let size = |bytes: u64| ByteSize(bytes).display().iec().to_string();
    if !budget.fits(best) {
        let need = size(budget.device_need_bytes(best).max(budget.host_work_bytes(best)));
        return vec![format!("nothing fits: the smallest settings that were tried need {need}")];
    }
    let mut notes = Vec::new();
    if !budget.device_fits(config) && config.gpu.memory_management.oom_retry {
        let at_once = batch_size_candidates(config)
            .iter()
            .find(|sized| budget.device_fits(sized))
            .map_or(1, |sized| sized.training.batch_size.clips());
        notes.push(format!("as it is, training would run out of memory and go on with about {at_once} at once"));
    }
    let stays_f32 = budget.format(best) == Format::F32;
    if stays_f32 && budget.kind == DeviceKind::Cuda {
        notes.push("mixed precision is off; gpu.mixed_precision=auto would halve the activations".into());
    }
    if let Some(most) = largest_batch(best, budget) {
        notes.push(format!(
            "there is room for about {most} clips a batch; an optimizer step then sees more clips, so raise \
             training.learning_rate with it"
        ));
    }
    notes
}

/// The largest batch that fits, where there is headroom that only a larger effective batch could use.
fn largest_batch(best: &Config, budget: &MemoryBudget) -> Option<usize> {
    if best.training.gradient_accumulation > 1 || !budget.has_headroom(best) {
        return None;
    }
    let mut larger = best.clone();
    let fits = |batch_size: &usize| {
        larger.training.batch_size = BatchSize::Clips(*batch_size);
        budget.fits(&larger)
    };
    (best.training.batch_size.clips() + 1..=LARGEST_BATCH).take_while(fits).last()
}
