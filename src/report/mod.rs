//! What a run leaves behind for people and programs: its folder, JSON lines, CSV, TensorBoard's events,
//! the final report, tables, and all of it on a page.

mod assessment;
mod contact_sheet;
mod events;
mod folder;
mod log;
mod page;
mod pr_curve;
mod provenance;
mod sparkline;
mod summary;
mod table;

pub use assessment::{Assessment, Assessments, DrawnOver, Mistake, OWN_TEST, Unit};
pub use contact_sheet::contact_sheet;
pub use events::EventFile;
pub use folder::RunFolder;
pub use log::{RunLog, write_csv};
pub use page::{Epoch, LivePage, Log, PageError, Run, comparison_page, run_page, write_page, write_page_to};
pub use provenance::{Provenance, Versions};
pub use sparkline::loss_line;
pub use summary::{CrossTest, DataSummary, FaceSummary, MemorySummary, Report, Status, Throughput};
pub use table::{assessment_tables, bordered_table, metrics_table, plain_table};
