//! Frames ahead of the network: while it computes a pass, the frames of the next one are copied to its device. Which
//! pass is next is decided by the caller.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::batch_frames::Frames;
use crate::clip::ReadClip;
use crate::memory::{Failure, MicroBatchSize, classify};
use crate::model::Detector;
use crate::torch::{Result, Upload};

/// Copies the frames of one pass while another one is computed. It holds one copy at most.
#[derive(Default)]
pub struct Uploads {
    ahead: Option<Ahead>,
    /// Passes that had to wait for their frames, because there was no memory to send them ahead.
    late: usize,
}

/// The frames of a pass on their way.
struct Ahead {
    /// The clips of its batch, which no other batch can have at the same time.
    clips: Vec<Arc<ReadClip>>,
    rows: Range<usize>,
    upload: Upload,
}

/// The passes of a piece of work, in order, with the frames of each.
pub struct Feed<'f, 'u> {
    uploads: &'u mut Uploads,
    passes: VecDeque<(Frames<'f>, Range<usize>)>,
}

impl Uploads {
    /// Feeds these passes in their order, each with its frames of a batch. The last one may belong to the next piece of
    /// work: if it was sent and not asked for, a later feed finds it here.
    pub fn feed<'f>(&mut self, passes: impl IntoIterator<Item = (Frames<'f>, Range<usize>)>) -> Feed<'f, '_> {
        Feed { uploads: self, passes: passes.into_iter().collect() }
    }

    /// Frees what is on its way.
    pub fn clear(&mut self) {
        self.ahead = None;
    }

    /// Passes that had to wait for their frames, because there was no memory to send them ahead.
    #[must_use]
    pub fn late(&self) -> usize {
        self.late
    }

    /// A copy that was begun; `None` where there was no memory for it, which is said once.
    fn begun(&mut self, upload: Result<Upload>) -> Result<Option<Upload>> {
        match upload {
            Err(error) if classify(&error.to_string()) == Failure::OutOfMemory => {
                if self.late == 0 {
                    let message = error.to_string();
                    let reason = message.lines().next().unwrap_or_default();
                    tracing::warn!("frames are not sent ahead where the device has no memory for them: {reason}");
                }
                self.late += 1;
                Ok(None)
            }
            upload => upload.map(Some),
        }
    }
}

impl Feed<'_, '_> {
    /// Normalised images `[N, 3, H, W]` of the next pass on the detector's device; see [`Frames::images`].
    ///
    /// # Errors
    /// Out of memory.
    ///
    /// # Panics
    /// There is no further pass.
    pub fn images(&mut self, detector: &Detector, size: MicroBatchSize) -> Result<Tensor> {
        let (frames, rows) = self.passes.pop_front().expect("as many passes as were announced");
        match self.uploads.ahead.take().filter(|ahead| ahead.is(&frames, &rows) && travels(detector, size)) {
            Some(ahead) => detector.images(&ahead.upload.finish()?),
            None => frames.images(detector, rows, size),
        }
    }

    /// Begins to copy the frames of the next pass, if there is one. To be called when the present pass is on the
    /// device. Where there is no memory for one more copy, the next pass waits for its own.
    ///
    /// # Errors
    /// The device failed.
    pub fn send_next(&mut self, detector: &Detector, size: MicroBatchSize) -> Result<()> {
        let Some((frames, rows)) = self.passes.front().filter(|_| travels(detector, size)) else { return Ok(()) };
        if self.uploads.ahead.as_ref().is_some_and(|ahead| ahead.is(frames, rows)) {
            return Ok(());
        }
        let pixels = frames.pixels(rows.clone(), detector.device());
        let upload = pixels.and_then(|pixels| Upload::start(&pixels, detector.device()));
        let (clips, rows) = (frames.batch.clips.clone(), rows.clone());
        self.uploads.ahead = self.uploads.begun(upload)?.map(|upload| Ahead { clips, rows, upload });
        Ok(())
    }
}

/// Whether frames are sent ahead. To the CPU there is no way; in tests they go it nevertheless.
fn travels(detector: &Detector, size: MicroBatchSize) -> bool {
    (detector.device() != Device::Cpu || cfg!(test)) && !size.host_preprocessing
}

impl Ahead {
    fn is(&self, frames: &Frames, rows: &Range<usize>) -> bool {
        let (clips, others) = (&self.clips, &frames.batch.clips);
        self.rows == *rows && clips.len() == others.len() && clips.iter().zip(others).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Backbone;
    use crate::config::Config;
    use crate::dataset::Label;
    use crate::loader::HostBatch;
    use crate::torch::{Format, generator_lock};
    use crate::video::ClipSpec;

    #[test]
    fn a_copy_without_memory_is_counted_and_a_broken_device_is_an_error() {
        let mut uploads = Uploads::default();
        let failed = |message: &str| Err(tch::TchError::Torch(message.to_owned()));
        for late in 1..=2 {
            assert!(uploads.begun(failed("CUDA out of memory. Tried to allocate 2.00 MiB.")).unwrap().is_none());
            assert_eq!(uploads.late(), late);
        }
        assert!(uploads.begun(failed("CUDA error: an illegal memory access was encountered")).is_err());
        let here = Upload::start(&Tensor::from_slice(&[1_u8]), Device::Cpu);
        assert!(uploads.begun(here).unwrap().is_some());
        assert_eq!(uploads.late(), 2);
    }

    #[test]
    fn frames_that_were_sent_ahead_are_those_of_their_pass() {
        let _alone = generator_lock();
        let mut config = Config::default();
        (config.model.backbone, config.data.max_frames, config.data.frame_size) = (Backbone::Resnet18, 2, [8, 8]);
        let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
        let spec = ClipSpec::of(&config.data);
        let batch = |first: usize| {
            let bytes: Vec<_> = (first..first + 2 * spec.clip_bytes()).map(|i| (i * 7919 % 251) as u8).collect();
            HostBatch::of_bytes(&bytes, vec![Label::Real; 2])
        };
        let (batch, other) = (batch(0), batch(5));
        let [frames, others] = [&batch, &other].map(|batch| Frames { batch, spec: &spec, pin_memory: false });
        let whole = MicroBatchSize::whole(2);
        let is = |images: Tensor, frames: Frames, rows| images.equal(&frames.images(&detector, rows, whole).unwrap());

        let mut uploads = Uploads::default();
        let mut feed = uploads.feed([(frames, 0..2), (frames, 2..4), (others, 0..4)]);
        for rows in [0..2, 2..4] {
            assert!(is(feed.images(&detector, whole).unwrap(), frames, rows));
            feed.send_next(&detector, whole).unwrap();
        }
        assert!(uploads.ahead.as_ref().unwrap().is(&others, &(0..4)));
        // Another feed finds it; one that wants something else does not take it.
        let kept = uploads.feed([(others, 0..4)]).images(&detector, whole).unwrap();
        assert!(is(kept, others, 0..4) && uploads.ahead.is_none());
        for (wanted, rows) in [(frames, 0..4), (others, 0..2)] {
            let mut feed = uploads.feed([(frames, 0..2), (others, 0..4)]);
            drop(feed.images(&detector, whole).unwrap());
            feed.send_next(&detector, whole).unwrap();
            let images = uploads.feed([(wanted, rows.clone())]).images(&detector, whole).unwrap();
            assert!(is(images, wanted, rows));
        }
        // With nothing left to come, nothing is sent.
        let mut feed = uploads.feed([(frames, 0..2)]);
        drop(feed.images(&detector, whole).unwrap());
        feed.send_next(&detector, whole).unwrap();
        assert!(uploads.ahead.is_none());
    }
}
