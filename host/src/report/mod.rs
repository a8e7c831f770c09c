//! Reports of runs: a self-contained HTML page, and its curves as SVG files.

mod confusion;
mod curves;
mod page;
mod roc;

pub use confusion::Confusion;
pub use roc::Roc;

use std::path::Path;

use serde_json::Value;

use crate::data::ColumnDescription;
use crate::files::write_atomically;
use crate::train::History;
use crate::{Error, Result};

/// The contents of a report.
pub struct Report<'r> {
    /// The name of the run.
    pub title: String,
    /// Pairs of label and text: the data, the network, and the compile settings.
    pub summary: Vec<(String, String)>,
    /// The columns of the table that was trained on; none for arrays.
    pub columns: Vec<ColumnDescription>,
    /// The results of each epoch.
    pub history: &'r History,
    /// The confusion matrix of the validation data, if the target has classes.
    pub confusion: Option<Confusion>,
    /// The ROC curve of each class, if the target has classes.
    pub roc: Vec<Roc>,
    /// The plug-ins: name and version, and source.
    pub plugins: &'r [(String, String)],
    /// The configuration, including defaults.
    pub config: &'r Value,
}

impl Report<'_> {
    /// Writes `report.html`, and each curve as an SVG file in the folder `curves`.
    ///
    /// # Errors
    /// Returns an error if a curve can't be drawn or a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut curves = curves::draw(self.history)?;
        if !self.roc.is_empty() {
            curves.push(("ROC".into(), roc::draw(&self.roc)?));
        }
        let pictures = folder.join("curves");
        std::fs::create_dir_all(&pictures)
            .map_err(|error| Error::failure(format!("cannot create {}: {error}", pictures.display())))?;
        for (name, svg) in &curves {
            let file: String =
                name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
            write_atomically(&pictures.join(format!("{file}.svg")), |writer| writer.write_all(svg.as_bytes()))?;
        }
        let page = page::page_of(self, &curves);
        write_atomically(&folder.join("report.html"), |writer| writer.write_all(page.as_bytes()))
    }
}
