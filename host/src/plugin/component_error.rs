//! The errors of a component: the conversion of a plug-in's errors to the host's.

use std::borrow::Cow;

use plugfit_abi::abi_stable::std_types::{ROption, RString};
use plugfit_abi::{self as abi};

use super::component::{ComponentHandle, Table};
use super::shown_text::{shown_line, shown_part};
use super::{bounds, isolate};
use crate::Error;
use crate::text::truncate;

impl<T: Table> ComponentHandle<T> {
    /// Converts a plug-in's error to the host's.
    #[cold]
    pub fn error(&self, error: abi::Error) -> Error {
        let message = self.lossy(&error.message);
        let message = &*message;
        let line = |text: &RString| shown_line(&self.lossy(text));
        let kind = match error.kind {
            isolate::CRASHED | isolate::CONTRACT_VIOLATED if !self.gives_host_kinds => abi::ERROR_OTHER,
            kind => kind,
        };
        match kind {
            abi::ERROR_CONFIG => {
                let field = error.field.as_ref().map(line).into_option();
                let text = if message.starts_with(&self.name) {
                    message.to_owned()
                } else {
                    format!("{}: {message}", self.name)
                };
                let mut lines = text.lines();
                let mut result = Error::usage(shown_line(lines.next().unwrap_or_default()));
                if let Some(field) = field {
                    result = result.with("in", field);
                }
                // Details of a nested component's error, indented more than the host's own lines.
                for line in lines.take(bounds::MAX_ERROR_LINES) {
                    result = result.hint(format!("  {}", shown_line(line.trim_start())));
                }
                result
            }
            isolate::CRASHED => {
                let mut result = Error::crash(format!("{} {}", self.full_name(), shown_line(message)));
                if let ROption::RSome(output) = &error.place {
                    result = result.with("output", line(output));
                }
                // Already quoted for a shell.
                let file = error.field.as_ref().map_or_else(|| "FILE".into(), line);
                result
                    .with("plug-in", self.plugin.clone())
                    .hint(format!("`plugfit check {file}` shows what is wrong with it"))
            }
            isolate::CONTRACT_VIOLATED => self.contract_violation(message),
            abi::ERROR_PANIC => {
                let place = error.place.as_ref().map_or_else(String::new, |place| format!(" at {}", line(place)));
                let message = truncate(message, bounds::MAX_TEXT_LENGTH);
                Error::plugin(format!("{} failed", self.full_name()))
                    .with("panic", format!("{message:?}{place} of {}", self.plugin))
            }
            abi::ERROR_INPUT | abi::ERROR_UNSUPPORTED => {
                let field = error.field.as_ref().map(|field| self.lossy(field)).into_option();
                let row = field.as_deref().and_then(plugfit_api::Error::row_of);
                Error::failure(format!("{}: {}", self.full_name(), self.message_line(message))).at_row(row)
            }
            abi::ERROR_CANCELLED => Error::interrupted(format!("{} was stopped", self.full_name())),
            _ => Error::plugin(format!("{} failed: {}", self.full_name(), self.message_line(message)))
                .with("plug-in", self.plugin.clone()),
        }
    }

    /// Decodes a text of an error, whose bytes may not be UTF-8. A plug-in's text is cut to what is shown.
    pub(super) fn lossy<'t>(&self, text: &'t RString) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        String::from_utf8_lossy(if self.is_own { bytes } else { shown_part(bytes) })
    }

    /// Returns a plug-in's message on one line. A message of the program's own functions, such as one in Python, may
    /// have several lines.
    fn message_line(&self, message: &str) -> String {
        if self.is_own { message.to_owned() } else { shown_line(message) }
    }

    /// Returns the error for a plug-in that violates the API.
    #[cold]
    pub fn contract_violation(&self, what: &str) -> Error {
        Error::plugin(format!("{} {}", self.full_name(), shown_line(what)))
            .hint(format!("it is the plug-in's mistake: tell who wrote {}", self.plugin))
    }
}

#[cfg(test)]
mod tests {
    use plugfit_api::Config;
    use plugfit_api::schedule::{Schedule, When};

    use plugfit_abi::ScheduleV1;

    use super::*;

    #[derive(Config)]
    struct Constant {}

    impl Schedule for Constant {
        fn learning_rate(&self, _: &When) -> f64 {
            1.0
        }
    }

    /// Returns a component that is treated as one of a plug-in in this process.
    fn plugin_component() -> ComponentHandle<ScheduleV1> {
        let mut component = ComponentHandle::of_instance(plugfit_api::instance::schedule(Constant {}), None);
        (component.is_own, component.gives_host_kinds) = (false, false);
        component
    }

    fn error(kind: u32, message: &str) -> abi::Error {
        abi::Error { kind, message: message.into(), field: ROption::RSome("f".into()), place: ROption::RNone }
    }

    #[test]
    fn a_plugin_cannot_forge_the_hosts_kinds_of_errors() {
        const FORGED: &str = "x\nerror: the disk is full\n  run `this`\u{202e}";
        for kind in [isolate::CRASHED, isolate::CONTRACT_VIOLATED] {
            let error = plugin_component().error(error(kind, FORGED));
            assert_eq!(error.kind(), crate::ErrorKind::Plugin);
            assert!(error.message().starts_with("Constant failed: x\u{fffd}error"), "{error}");
            assert!(!error.to_string().contains("plugfit check"), "{error}");
        }
        // How a worker ended is also shown on one line.
        let mut proxy = plugin_component();
        proxy.gives_host_kinds = true;
        let text = proxy.error(error(isolate::CRASHED, FORGED)).to_string();
        assert!(text.starts_with("Constant x\u{fffd}error: the disk is full\u{fffd}  run `this`\u{fffd}\n"), "{text}");
        assert!(text.ends_with("`plugfit check f` shows what is wrong with it"), "{text}");
    }

    #[test]
    fn further_lines_of_a_plugins_error_are_indented_more_than_the_hosts() {
        let text = plugin_component().error(error(abi::ERROR_CONFIG, "it\n  near    a\nrun `this`")).to_string();
        assert_eq!(text, "Constant: it\n  in      f\n    near    a\n    run `this`");
    }
}
