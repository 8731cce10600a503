//! The guard on a made-up GPU of 12 GiB over 10,000 steps: other processes come and go, libtorch's allocator keeps blocks
//! and breaks them into pieces, libraries take memory beside it. After a failed attempt its tensors are gone, as on a real
//! one, and what the allocator reserved for them is not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Attempt, Cause, Gauge, Guard, MicroBatchSize, MicroBatchSizes, OomEvent};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

const FRAMES: usize = 32;
const CLIPS: usize = 12;
/// What the network, its gradients and moments take.
const STATE_BYTES: u64 = GIB;
/// What a step takes of each frame at once: nine tenths of the device hold a whole batch, and not two.
const FRAME_BYTES: u64 = 20 * MIB;
/// What a library takes from the driver in some steps.
const LIBRARY_BYTES: u64 = 64 * MIB;
const STEPS: u64 = 10_000;
/// From this step on, the process is alone.
const ALONE_FROM: u64 = 9_000;

struct Device {
    /// What the driver has for this process and others, without their contexts.
    total_bytes: u64,
    /// What other processes hold, and what they want: they take what is free as soon as it is.
    others_bytes: u64,
    others_want_bytes: u64,
    /// In tensors.
    allocated_bytes: u64,
    peak_bytes: u64,
    /// Taken from the driver.
    reserved_bytes: u64,
    /// Of the reserved bytes, those in pieces that are too small for anything, and cannot be given back.
    stuck_bytes: u64,
    /// Those in pieces that are too small, but can be given back.
    loose_bytes: u64,
    alloc_retries: u64,
}

impl Device {
    fn driver_free_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.others_bytes + self.reserved_bytes)
    }

    fn allocate(&mut self, bytes: u64) -> Result<(), String> {
        let usable =
            |device: &Self| device.reserved_bytes - device.allocated_bytes - device.stuck_bytes - device.loose_bytes;
        if bytes > usable(self) && bytes - usable(self) > self.driver_free_bytes() {
            self.alloc_retries += 1;
            self.empty_cache();
        }
        let missing = bytes.saturating_sub(usable(self));
        if missing > self.driver_free_bytes() {
            return Err(format!("CUDA out of memory. Tried to allocate {}.00 MiB. GPU 0 has ...", bytes / MIB));
        }
        self.reserved_bytes += missing;
        self.allocated_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.allocated_bytes);
        Ok(())
    }

    fn empty_cache(&mut self) {
        self.reserved_bytes = self.allocated_bytes + self.stuck_bytes;
        self.loose_bytes = 0;
    }

    /// Others take or give back memory.
    fn let_others_have(&mut self, bytes: u64) {
        self.others_want_bytes = bytes;
        self.others_bytes = bytes.min(self.driver_free_bytes() + self.others_bytes);
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Device>>);

impl Gauge for Shared {
    fn used_bytes(&self) -> Option<u64> {
        Some(self.0.borrow().allocated_bytes)
    }
    fn free_bytes(&self) -> Option<u64> {
        let device = self.0.borrow();
        Some(device.driver_free_bytes() + device.reserved_bytes - device.allocated_bytes)
    }
    fn driver_free_bytes(&self) -> Option<u64> {
        Some(self.0.borrow().driver_free_bytes())
    }
    fn others_bytes(&self) -> Option<u64> {
        Some(self.0.borrow().others_bytes)
    }
    fn peak_bytes(&self) -> Option<u64> {
        Some(self.0.borrow().peak_bytes)
    }
    fn reset_peak(&self) {
        let mut device = self.0.borrow_mut();
        device.peak_bytes = device.allocated_bytes;
    }
    fn alloc_retries(&self) -> Option<u64> {
        Some(self.0.borrow().alloc_retries)
    }
}

/// A step on the device: the frames of all clips, some at a time.
struct Step<'a> {
    device: &'a Shared,
    /// Whether a library takes memory from the driver in it.
    asks_driver: bool,
    /// Frames that were worked on.
    frames: usize,
}

impl Attempt for Step<'_> {
    type Output = usize;
    type Error = String;

    fn attempt(&mut self, size: MicroBatchSize) -> Result<usize, String> {
        let at_once = size.frames_at_once(FRAMES).min(CLIPS * FRAMES);
        let mut frames = 0;
        while frames < CLIPS * FRAMES {
            let now = at_once.min(CLIPS * FRAMES - frames);
            let mut device = self.device.0.borrow_mut();
            let before = device.allocated_bytes;
            // In layers, so that memory runs out in the middle.
            let layers = (0..8).try_for_each(|_| device.allocate(now as u64 * FRAME_BYTES / 8));
            let library = if self.asks_driver && device.driver_free_bytes() < LIBRARY_BYTES {
                Err("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR".to_owned())
            } else {
                Ok(())
            };
            device.allocated_bytes = before;
            layers.and(library)?;
            frames += now;
        }
        self.frames += frames;
        Ok(frames)
    }

    fn recover(&mut self, _next: MicroBatchSize) -> Result<(), String> {
        self.device.0.borrow_mut().empty_cache();
        Ok(())
    }
}

/// The size after each step, and the guard.
fn simulated(seed: u64) -> (Vec<MicroBatchSize>, Guard<'static>) {
    let mut device = Device {
        total_bytes: 12 * GIB - 512 * MIB,
        others_bytes: 0,
        others_want_bytes: 0,
        allocated_bytes: 0,
        peak_bytes: 0,
        reserved_bytes: 0,
        stuck_bytes: 0,
        loose_bytes: 0,
        alloc_retries: 0,
    };
    device.allocate(STATE_BYTES).unwrap();
    let device = Shared(Rc::new(RefCell::new(device)));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (meanwhile, mut luck) = (device.clone(), ChaCha8Rng::seed_from_u64(seed + 100));
    let sizes = MicroBatchSizes::new(CLIPS, FRAMES, 1);
    let mut guard = Guard::new("train", sizes, Box::new(device.clone()), true, 200).with_pause(move |pause| {
        // In a minute they have ended, if not before.
        if pause.as_secs() >= 40 || luck.random_ratio(1, 3) {
            meanwhile.0.borrow_mut().let_others_have(0);
        }
        true
    });
    let mut crumbling = 0;
    let mut sizes = Vec::new();
    for step in 0..STEPS {
        {
            let mut device = device.0.borrow_mut();
            if step % 250 == 0 {
                // As before a validation.
                device.empty_cache();
            }
            let wanted = match device.others_want_bytes {
                _ if step >= ALONE_FROM => 0,
                0 if rng.random_ratio(1, 300) => rng.random_range(GIB..12 * GIB),
                some if some > 0 && rng.random_ratio(1, 200) => 0,
                some => some,
            };
            device.let_others_have(wanted);
            // Pieces come to be, and are found again; for some steps in a row, many of them.
            let idle = device.reserved_bytes - device.allocated_bytes;
            if rng.random_ratio(1, 50) {
                device.stuck_bytes = rng.random_range(0..=idle.min(300 * MIB));
            }
            device.stuck_bytes = device.stuck_bytes.min(idle);
            crumbling = if rng.random_ratio(1, 400) { 5 } else { crumbling - i32::from(crumbling > 0) };
            let crumbs = if crumbling > 0 { rng.random_range(0..=2 * GIB) } else { 0 };
            device.loose_bytes = crumbs.min(idle - device.stuck_bytes);
        }
        let mut work = Step { device: &device, asks_driver: step % 20 == 0, frames: 0 };
        let done = guard.run(CLIPS, &mut work).unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
        assert_eq!((done, work.frames), (CLIPS * FRAMES, CLIPS * FRAMES), "each clip once");
        guard.step_done();
        sizes.push(guard.micro_batch_size());
    }
    (sizes, guard)
}

#[test]
fn over_ten_thousand_steps_no_clip_is_lost_no_size_thrashes_and_it_grows_back() {
    let mut seen = BTreeSet::new();
    for seed in 0..5 {
        let (sizes, guard) = simulated(seed);
        let whole = MicroBatchSize::whole(CLIPS);
        assert_eq!(sizes.last(), Some(&whole), "seed {seed}: alone, the whole batch fits again");
        let events = guard.events();
        // Printed with --nocapture, to be read.
        for event in events {
            println!("seed {seed}: {:?}: {} -> {}", event.cause, event.before, event.after);
        }
        let small = sizes.iter().filter(|size| **size != whole).count();
        println!("seed {seed}: {} changes, {small} steps below the whole batch", events.len());
        assert!(!events.is_empty(), "seed {seed}: nothing happened");
        seen.extend(events.iter().map(|event| format!("{:?}", event.cause)));
        // About 20 neighbours come and go; each costs at most the way down and up the ladder of nine sizes.
        assert!(events.len() < 300, "seed {seed}: {} changes", events.len());
        let grown = |event: &OomEvent| event.cause == Cause::Headroom;
        let in_vain = events.windows(2).filter(|pair| grown(&pair[0]) && !grown(&pair[1]));
        assert!(in_vain.count() < 30, "seed {seed}: it grows where there is no room");
    }
    let all = [Cause::OutOfMemory, Cause::MaybeOutOfMemory, Cause::AllocatorRetries, Cause::Waited, Cause::Headroom];
    assert_eq!(seen, all.iter().map(|cause| format!("{cause:?}")).collect(), "what a GPU can do to the guard");
}
