//! The functions that the host calls in a worker.

use crate::plugin::bounds;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The function that is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call {
            $($(#[$doc])* $name,)*
        }

        impl Call {
            pub const ALL: &[Call] = &[$(Call::$name),*];

            /// Returns the function's name as the plug-in's author writes it.
            pub fn name(self) -> &'static str {
                match self { $(Call::$name => $text,)* }
            }

            /// Returns the maximum size of an answer, in bytes.
            pub fn longest_answer(self) -> usize {
                match self {
                    Call::Save => bounds::MAX_STATE_LENGTH + (1 << 20),
                    Call::Outcome | Call::Slots => 1 << 26,
                    _ => 1 << 24,
                }
            }
        }
    };
}

calls! {
    Load: "loading",
    Create: "create",
    Release: "drop",
    Config: "config",
    InstanceInfo: "info",
    Formula: "formula",
    OutputShape: "output_shape",
    Loss: "call",
    NewState: "init",
    ReleaseState: "drop of a state",
    Reset: "reset",
    CloneState: "clone",
    Update: "update",
    Merge: "merge",
    Outcome: "result",
    Save: "save",
    LoadState: "load",
    Slots: "slots",
    FillSlot: "fill_slot",
    Step: "update",
    Finalize: "finalize",
    LearningRate: "learning_rate",
}
