//! Stands in for the `View` types of container-core until they are there. Only names and shapes.
#![allow(missing_docs)]

use std::fmt;
use std::str::FromStr;

use container_core::{CpuSet, GroupPath, HierarchyName, Refusal, TaskKind};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewPath(GroupPath);

impl FromStr for ViewPath {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Ok(ViewPath(text.parse()?))
    }
}

impl fmt::Display for ViewPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewAccess {
    Read,
    Delegate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewCommand {
    Mkdir {
        group: ViewPath,
    },
    Rmdir {
        group: ViewPath,
    },
    Write {
        group: ViewPath,
        file: String,
        value: String,
    },
    Attach {
        group: ViewPath,
        task: TaskKind,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRoot {
    pub hierarchy: HierarchyName,
    pub subsystems: Vec<&'static str>,
    pub access: ViewAccess,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewGroup {
    pub path: ViewPath,
    pub cpus: Option<CpuSet>,
    pub tasks: usize,
    pub own: Vec<TaskKind>,
    pub notify_on_release: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewEvent {
    Released {
        group: ViewPath,
    },
    GroupCreated {
        group: ViewPath,
    },
    GroupRemoved {
        group: ViewPath,
    },
    GroupRenamed {
        from: ViewPath,
        to: ViewPath,
    },
    TaskMoved {
        task: TaskKind,
        from: Option<ViewPath>,
        to: Option<ViewPath>,
    },
    FileWritten {
        group: ViewPath,
        file: String,
        value: String,
    },
}
