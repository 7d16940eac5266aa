//! The shape of the program, as data: which module knows which, and what pure modules must not name.

/// A module at the top of `src/`, with the others that it may name.
pub(crate) struct Module {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it may name besides itself.
    pub(crate) knows: &'static [&'static str],
    /// What is lost when it knows more.
    pub(crate) why: &'static str,
}

/// Every module at the top of `src/`. A new one gets a row before it gets code.
pub(crate) const MODULES: &[Module] = &[
    Module {
        name: "json",
        knows: &[],
        why: "a reader of bytes that knows nothing of Flux can be tested and fuzzed alone",
    },
    Module {
        name: "helmrelease",
        knows: &["json"],
        why: "the view says what the object holds; what is right about it is the policy's to say",
    },
    Module {
        name: "policy",
        knows: &["helmrelease", "json"],
        why: "one pure evaluation serves admission and pre-flight, so they can never disagree",
    },
    Module {
        name: "prefilter",
        knows: &["policy"],
        why: "when we need not be asked follows from the rules' own facts, and from nothing else",
    },
    Module {
        name: "admission",
        knows: &["policy", "helmrelease", "json"],
        why: "bytes in, bytes out: every answer can be tested without a server",
    },
    Module {
        name: "audit",
        knows: &["admission", "policy", "helmrelease", "json"],
        why: "what a cluster holds is judged like what comes in, by whoever has read it",
    },
    Module {
        name: "certs",
        knows: &[],
        why: "certificates are made, read and replaced the same, whoever serves them",
    },
    Module {
        name: "cluster",
        knows: &["policy"],
        why: "what is asked of the API server becomes plain data before anybody judges by it",
    },
    Module {
        name: "telemetry",
        knows: &["admission", "certs", "policy"],
        why: "what is counted must not depend on who serves it",
    },
    Module {
        name: "webhook",
        knows: &["admission", "certs", "cluster", "policy", "telemetry"],
        why: "handlers extract, ask and answer; they share nothing with the commands over files",
    },
    Module {
        name: "yaml",
        knows: &["json"],
        why: "a reader of text that knows nothing of Flux can be tested alone",
    },
    Module {
        name: "structural",
        knows: &["policy", "yaml", "json"],
        why: "what a CRD makes of an object is independent of where the object comes from",
    },
    Module {
        name: "render",
        knows: &["yaml", "json"],
        why: "what kustomize and Flux make of files is theirs to say; what is right about it is the policy's",
    },
    Module {
        name: "report",
        knows: &["audit", "policy", "yaml"],
        why: "one renderer for each format, whoever found what it tells: in files or in a cluster",
    },
    Module {
        name: "preflight",
        knows: &["policy", "helmrelease", "json", "admission", "yaml", "render", "report", "structural"],
        why: "judging a repository needs no server",
    },
    Module {
        name: "scan",
        knows: &["audit", "cluster"],
        why: "a cluster is read and judged in one way, whoever asked for it",
    },
    Module {
        name: "config",
        knows: &["policy", "certs"],
        why: "the configuration file is one way to fill the settings of those who work by them",
    },
    Module {
        name: "cli",
        knows: &[
            "json",
            "helmrelease",
            "policy",
            "admission",
            "audit",
            "certs",
            "cluster",
            "telemetry",
            "webhook",
            "preflight",
            "prefilter",
            "report",
            "scan",
            "config",
            "structural",
        ],
        why: "it puts the parts together; nothing may depend on how it was asked for",
    },
];

/// The modules whose answer depends on their arguments alone.
pub(crate) const PURE: &[&str] =
    &["json", "yaml", "render", "helmrelease", "policy", "prefilter", "admission", "audit", "structural"];

/// A path that no pure module may name, with everything below it, and what is lost if one does.
pub(crate) const IMPURE: &[(&str, &str)] = &[
    ("async", "pure code waits for nothing"),
    ("axum", "HTTP ends at the webhook"),
    ("hyper", "HTTP ends at the webhook"),
    ("kube", "what is judged is handed in as data"),
    ("rustls", "TLS ends at the webhook"),
    ("std::fs", "what is judged is handed in as data"),
    ("std::net", "pure code opens no socket"),
    ("std::time::Instant", "the same input gives the same answer forever, so no clock"),
    ("std::time::SystemTime", "the same input gives the same answer forever, so no clock"),
    // The crate, and what `use std::time;` leads to.
    ("time", "the same input gives the same answer forever, so no clock"),
    ("tokio", "pure code waits for nothing"),
];
