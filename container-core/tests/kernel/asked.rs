//! One operation as it was asked of both sides, with what was true of its group before.

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Mkdir,
    Rmdir,
    RmdirRoot,
    Rename,
    RenameAway,
    Write,
    WriteRoot,
    Attach,
    AttachDead,
    AttachGarbage,
    Leave,
    Confine,
    Create,
    Unlink,
    ReadOpen,
    WriteOpen,
    WriteAsOther,
    AttachAsOther,
}

/// One operation; a new name stands in `value`, a control file's in `file`.
#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: Verb,
    pub file: String,
    pub value: String,
    pub facts: Facts,
}

/// The group that it was asked of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub has_tasks: bool,
    pub has_children: bool,
    pub has_no_cpus: bool,
    pub has_no_mems: bool,
    /// Of an open file: its group is gone.
    pub is_gone: bool,
    /// Of CPUs that a thread asks for: some of them, not all, are its group's.
    pub is_partial: bool,
}

impl Asked {
    pub fn is(&self, verb: Verb, file: &str, value: &str) -> bool {
        self.verb == verb && self.file == file && self.value == value
    }

    /// A write of a list or flag that is well formed.
    pub fn sets(&self, file: &str) -> bool {
        self.verb == Verb::Write && self.file == file
    }
}
