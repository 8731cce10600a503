//! What a run leaves behind for people and programs: its folder, JSON lines, CSV, TensorBoard's events,
//! the final report, tables.

mod assessment;
mod events;
mod folder;
mod log;
mod pr_curve;
mod provenance;
mod summary;
mod table;

pub use assessment::{Assessment, Assessments, DrawnOver, Mistake, Unit};
pub use events::EventFile;
pub use folder::RunFolder;
pub use log::{RunLog, write_csv};
pub use provenance::{Provenance, Versions};
pub use summary::{CrossTest, DataSummary, FaceSummary, MemorySummary, Report, Status, Throughput};
pub use table::{assessment_tables, metrics_table, plain_table};
