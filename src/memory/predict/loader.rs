//! Host memory that the data loader and its frame cache take as configured. Measures nothing: the caller passes the
//! free memory.

use crate::config::{AutoBytes, Config, Switch};

/// The most bytes that the frame cache may take on a host with `host_free_bytes` at the start: what the loader, with
/// `decoder_bytes` in every worker, leaves of `dataloader.host_memory_budget`.
#[must_use]
pub fn cache_budget_bytes(config: &Config, host_free_bytes: u64, decoder_bytes: u64) -> u64 {
    let budget_bytes = match config.dataloader.host_memory_budget {
        AutoBytes::Auto => host_free_bytes / 2,
        AutoBytes::Bytes(bytes) => bytes,
    };
    let left_bytes = budget_bytes.saturating_sub(decode_window_bytes(config, decoder_bytes));
    match (config.cache.enable_cache, config.cache.memory_bytes) {
        (Switch::Off, _) => 0,
        (_, AutoBytes::Auto) => left_bytes,
        (_, AutoBytes::Bytes(bytes)) => bytes.min(left_bytes),
    }
}

/// Host memory of the loader: the clips that wait, the batches of a step and of the next one, which is asked for before
/// the step runs, and a decoder of `decoder_bytes` in every worker.
#[must_use]
pub fn decode_window_bytes(config: &Config, decoder_bytes: u64) -> u64 {
    let loader = &config.dataloader;
    let workers = loader.num_workers.max(1) as u64;
    let waiting = loader.num_workers as u64 * loader.prefetch_factor as u64;
    let batches = waiting + 2 * config.training.gradient_accumulation as u64;
    let [height, width] = config.data.frame_size;
    let clip_bytes = (config.data.max_frames * 3 * height * width) as u64;
    batches * config.training.batch_size.clips() as u64 * clip_bytes + workers * decoder_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BatchSize;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_loader_holds_a_window_of_batches() {
        let mut config = Config::default();
        config.training.batch_size = BatchSize::Clips(4);
        config.data.max_frames = 10;
        config.data.frame_size = [100, 50];
        let batch_bytes = 4 * 10 * 3 * 100 * 50;
        for (workers, prefetch, accumulation, batches, decoders) in [(2, 3, 1, 8, 2), (2, 3, 4, 14, 2), (0, 3, 1, 2, 1)]
        {
            config.training.gradient_accumulation = accumulation;
            config.dataloader.num_workers = workers;
            config.dataloader.prefetch_factor = prefetch;
            assert_eq!(decode_window_bytes(&config, 64 * MIB), batches * batch_bytes + decoders * 64 * MIB);
        }
    }
}
