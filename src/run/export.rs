//! A trained detector as the bytes of one file for other programs. The formats are in `export`; the caller writes the
//! file.

use tch::Device;

use super::error::RunError;
use super::trained_detector::StoredCheckpoint;
use crate::export::{self, ExportMetadata, Format};
use crate::model::Detector;
use crate::torch;

/// The file, and what a program that reads it must know.
pub struct ExportedDetector {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Inputs, outputs, and what the numbers mean.
    pub facts: ExportMetadata,
}

impl StoredCheckpoint {
    /// The weights that the run was tested with as a file of another format.
    ///
    /// # Errors
    /// The weights cannot be read, or there is no memory for the network.
    pub fn export(&self, format: Format) -> Result<ExportedDetector, RunError> {
        let config = &self.checkpoint.config;
        let network = Detector::new(&config.model, Device::Cpu, torch::Format::F32, false)
            .map_err(RunError::torch("the network cannot be built"))?;
        self.checkpoint.load_eval_model(network.parameters())?;
        let state = self.checkpoint.state();
        let state = state.inspect_err(|error| tracing::warn!("the file has no temperature: {error}")).ok();
        let temperature = state.as_ref().and_then(|state| state.temperature());
        let facts = ExportMetadata::of(config, temperature, state.and_then(|state| state.shows_faces));
        Ok(ExportedDetector { bytes: export::serialize(&network, &facts, format)?, facts })
    }
}
