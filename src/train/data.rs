//! The data of a run: its videos, and the batches of each epoch. Knows nothing of the network.

use std::collections::HashSet;

use crate::config::Config;
use crate::dataset::{Manifest, Sampler, Split};
use crate::loader::Loader;

/// The videos of a run, in the order in which training reads them.
pub struct TrainData<'a> {
    config: &'a Config,
    sampler: Sampler,
    /// Training videos that can be used.
    usable_videos: HashSet<usize>,
    /// Validation videos, which choose the best epoch.
    pub(super) val_videos: Vec<usize>,
    pub(super) loader: &'a Loader,
}

impl<'a> TrainData<'a> {
    /// `sampler` orders all training videos of `manifest`, those that cannot be used among them.
    #[must_use]
    pub fn new(config: &'a Config, manifest: &Manifest, sampler: Sampler, loader: &'a Loader) -> Self {
        Self {
            config,
            sampler,
            usable_videos: manifest.indices(Split::Train).into_iter().collect(),
            val_videos: manifest.indices(Split::Val),
            loader,
        }
    }

    /// The batches of an epoch, as indices of videos.
    ///
    /// They depend on the seed, the epoch and the data set alone. A video that cannot be used is left out of its batch,
    /// and the other batches stay the same.
    pub(super) fn plan(&self, epoch: u32) -> Vec<Vec<usize>> {
        let (training, loader) = (&self.config.training, &self.config.dataloader);
        let batch_size = training.batch_size.clips();
        let mut plan = self.sampler.plan(self.config.seed, epoch, batch_size, loader.drop_last);
        plan.truncate(training.limit_batches.unwrap_or(usize::MAX));
        plan.iter_mut().for_each(|batch| batch.retain(|video| self.usable_videos.contains(video)));
        plan
    }

    /// Optimizer steps in an epoch.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        self.plan(0).len().div_ceil(self.config.training.gradient_accumulation) as u64
    }
}
