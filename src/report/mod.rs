//! The files that a run writes for people and programs: its folder, JSON lines, CSV, TensorBoard events, the final
//! report, tables, and the HTML page.
//!
//! This room trains and scores nothing: callers pass in the results. Only `contact_sheet` reads videos.

mod contact_sheet;
mod evaluation_report;
mod folder;
mod leave_one_out;
mod log_reader;
mod number_format;
mod page;
mod provenance;
mod run_log;
mod run_report;
mod sparkline;
mod table;
mod tensorboard;
mod tensorboard_pr_curve;

pub use contact_sheet::contact_sheet;
pub use evaluation_report::{
    AllSets, BootstrapGroups, BootstrapUnit, DatasetReport, EvaluationReport, Mistake, SEEN, TEST_SET, UNSEEN,
};
pub use folder::RunFolder;
pub use leave_one_out::{LeaveOneOutReport, Round};
pub use log_reader::{Epoch, Log};
pub(crate) use number_format::plural;
pub use page::{LivePage, PageError, Run, comparison_page, run_page, write_page, write_page_to};
pub use provenance::{Provenance, Versions};
pub use run_log::{RunLog, write_csv};
pub use run_report::{AverageSummary, CrossTest, DataSummary, FaceSummary, MemorySummary, Report, Status, Throughput};
pub use sparkline::loss_line;
pub use table::{all_sets_table, bordered_table, dataset_report_tables, metrics_table, plain_table};
pub use tensorboard::EventFile;
