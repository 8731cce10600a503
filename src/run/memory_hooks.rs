//! The memory manager of a run, with the clip cache and the loader as what it can shrink, and the cap on device memory.
//! When memory is short is decided in `memory`.

use std::rc::Rc;
use std::sync::Arc;

use tch::Device;

use super::byte_text::size;
use crate::clip::ClipSource;
use crate::config::{ConfigError, GpuConfig};
use crate::loader::Loader;
use crate::memory::{MemoryManager, MemoryPolicy, Reading, Resizable};
use crate::torch;

/// Watches memory as configured; the clip cache gives way first, then the loader.
pub(super) fn memory_manager(
    config: &GpuConfig,
    device: Device,
    source: &Arc<ClipSource>,
    loader: &Rc<Loader>,
) -> Rc<MemoryManager> {
    let policy = MemoryPolicy::from(&config.memory_management);
    let manager = MemoryManager::start(&policy, move || Reading::take(device));
    manager.add(ClipCacheHook(source.clone()));
    manager.add(LoaderHook(loader.clone()));
    Rc::new(manager)
}

/// Applies `gpu.memory_fraction`; before the first tensor on the device.
pub(super) fn limit_device_memory(config: &GpuConfig, device: Device) -> Result<(), ConfigError> {
    let Some(fraction) = config.memory_fraction.filter(|_| device.is_cuda()) else { return Ok(()) };
    torch::limit_device_memory(fraction).map_err(|error| ConfigError {
        place: "configuration".into(),
        key: "gpu.memory_fraction".into(),
        problem: format!("{fraction} cannot be set: {}", error.to_string().lines().next().unwrap_or_default()),
        hint: Some("leave it null: then there is no cap".into()),
    })
}

/// Clips kept in memory.
struct ClipCacheHook(Arc<ClipSource>);

impl Resizable for ClipCacheHook {
    fn name(&self) -> &str {
        "frame cache"
    }

    fn size(&self) -> String {
        let cache = self.0.cache();
        format!("{} of at most {}", size(cache.stats().bytes), size(cache.budget_bytes()))
    }

    fn shrink(&mut self) -> bool {
        self.0.cache().shrink()
    }

    fn grow(&mut self) -> bool {
        self.0.cache().grow()
    }
}

/// Clips that wait for the trainer, and the threads that make them.
struct LoaderHook(Rc<Loader>);

impl Resizable for LoaderHook {
    fn name(&self) -> &str {
        "loader"
    }

    fn size(&self) -> String {
        let now = self.0.size();
        format!("clips ahead {}, threads {}", now.clips_ahead, now.threads)
    }

    fn shrink(&mut self) -> bool {
        self.0.shrink()
    }

    fn grow(&mut self) -> bool {
        self.0.grow()
    }
}
