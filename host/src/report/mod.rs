//! A run to look at: one page that needs nothing but itself, and its curves as pictures.

mod confusion;
mod curves;
mod page;
mod roc;

pub use confusion::Confusion;
pub use roc::Roc;

use std::path::Path;

use serde_json::Value;

use crate::data::write_atomically;
use crate::train::History;
use crate::{Error, Result};

/// What a page shows.
pub struct Report<'r> {
    /// The run's name.
    pub title: String,
    /// How it was read, what network it was, what it was compiled with: a label and a text each.
    pub summary: Vec<(String, String)>,
    /// The epochs.
    pub history: &'r History,
    /// The true and predicted classes of the validation data, where there are classes.
    pub confusion: Option<Confusion>,
    /// The ROC of each class, where there are classes.
    pub roc: Vec<Roc>,
    /// The plug-ins: name and version, and where from.
    pub plugins: &'r [(String, String)],
    /// The configuration, defaults filled in.
    pub config: &'r Value,
}

impl Report<'_> {
    /// Writes `report.html`, and each curve as an SVG file into the folder `curves`.
    ///
    /// # Errors
    /// A curve can't be drawn, or a file can't be written.
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
        let page = page::html(self, &curves);
        write_atomically(&folder.join("report.html"), |writer| writer.write_all(page.as_bytes()))
    }
}
