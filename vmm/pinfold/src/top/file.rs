//! Reports from files, as `pinfold run --report` and the command `report` write them: for tests, and until
//! there is a supervisor to ask.

use std::path::PathBuf;

use anyhow::{Context, bail};
use management::Report;

use super::app::Source;

/// Files, each read once in their order; the last again and again, as it is then.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<PathBuf>,
    next: usize,
}

impl FileSource {
    /// Of these files; of none there is no report.
    pub fn new(files: Vec<PathBuf>) -> Self {
        FileSource { files, next: 0 }
    }
}

impl Source for FileSource {
    fn report(&mut self) -> anyhow::Result<Report> {
        let last = self.files.len().saturating_sub(1);
        let path = self
            .files
            .get(self.next.min(last))
            .context("there is no supervisor to ask")?;
        self.next = (self.next + 1).min(last);
        let json = std::fs::read(path)
            .with_context(|| format!("the report {} cannot be read", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is no report", path.display()))
    }

    fn dry_run(&mut self, group: &str, _: &str) -> anyhow::Result<Vec<String>> {
        bail!("{group} is of a report in a file: there is nothing to change")
    }

    fn apply(&mut self, group: &str, _: &str) -> anyhow::Result<String> {
        bail!("{group} is of a report in a file: there is nothing to change")
    }
}
