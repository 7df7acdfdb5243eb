//! A subsystem that says what it is told, and a framework with some of them.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use container_core::*;

use crate::support::*;

/// Says what it is told. It objects to tasks in groups that have its name, and to values for them.
#[derive(Clone)]
struct Recorder {
    name: &'static str,
    files: &'static [ControlFile],
    said: Sender<String>,
    /// Groups by what they were called when they came: some callbacks have only the id.
    paths: BTreeMap<GroupId, String>,
}

impl Recorder {
    fn say(&self, callback: &str, about: &str) {
        let line = format!("{} {callback} {about}", self.name);
        // A test that has ended no longer listens.
        let _ = self.said.send(line.trim_end().into());
    }

    fn path(&self, group: GroupId) -> &str {
        self.paths.get(&group).map_or("unknown", String::as_str)
    }

    fn learn(&mut self, cx: &Context<'_>, group: GroupId) -> String {
        let path = cx.core.path_of(group).to_string();
        self.paths.insert(group, path.clone());
        path
    }

    /// Say that a task comes to a group, and object if the group has its name.
    fn meet(
        &self,
        cx: &Context<'_>,
        callback: &str,
        at: (TaskSlot, GroupId),
    ) -> Result<(), Refusal> {
        let (task, path) = (cx.core.name_of(at.0), cx.core.path_of(at.1));
        self.say(callback, &format!("{task} {path}"));
        match path.name() == Some(self.name) {
            true => Err(Refusal::new(
                Errno::EBUSY,
                format!("{path} takes no tasks, not {task} either"),
            )),
            false => Ok(()),
        }
    }
}

impl Subsystem for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn files(&self) -> &'static [ControlFile] {
        self.files
    }

    fn css_alloc(&mut self, cx: &mut Context<'_>, group: GroupId, parent: Option<GroupId>) {
        let path = self.learn(cx, group);
        let above = parent.map_or("none", |parent| self.path(parent));
        self.say("css_alloc", &format!("{path} below {above}"));
    }

    fn css_online(&mut self, _cx: &mut Context<'_>, group: GroupId) {
        self.say("css_online", self.path(group));
    }

    fn css_offline(&mut self, _cx: &mut Context<'_>, group: GroupId, parent: GroupId) {
        let (path, above) = (self.path(group), self.path(parent));
        self.say("css_offline", &format!("{path} below {above}"));
    }

    fn css_free(&mut self, group: GroupId) {
        self.say("css_free", self.path(group));
    }

    fn can_attach(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        to: GroupId,
    ) -> Result<(), Refusal> {
        self.meet(cx, "can_attach", (task, to))
    }

    fn cancel_attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, to: GroupId) {
        self.say(
            "cancel_attach",
            &format!("{} {}", cx.core.name_of(task), self.path(to)),
        );
    }

    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, to: GroupId) {
        assert_eq!(cx.core.beside(to, task), to, "the task has moved");
        let (from, to) = (self.path(from), self.path(to));
        self.say(
            "attach",
            &format!("{} {from} to {to}", cx.core.name_of(task)),
        );
    }

    fn fork(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        group: GroupId,
    ) -> Result<(), Refusal> {
        self.meet(cx, "fork", (task, group))
    }

    fn exit(&mut self, cx: &mut Context<'_>, task: TaskSlot, group: GroupId) {
        self.say(
            "exit",
            &format!("{} {}", cx.core.name_of(task), self.path(group)),
        );
    }

    fn bind(&mut self, cx: &mut Context<'_>, from: GroupId, to: GroupId) {
        let to = self.learn(cx, to);
        self.say("bind", &format!("{} to {to}", self.path(from)));
    }

    fn post_clone(&mut self, _cx: &mut Context<'_>, group: GroupId) {
        self.say("post_clone", self.path(group));
    }

    fn host_changed(&mut self, cx: &mut Context<'_>) {
        let core = cx.core;
        let root = self.paths.keys().next().map(|group| core.path_of(*group));
        self.say("host_changed", &root.unwrap().to_string());
    }

    fn read(&self, core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        format!("{file} of {}", core.path_of(group))
    }

    fn undo(&mut self) {
        self.say("undo", "");
    }

    fn settle(&mut self) {
        self.say("settle", "");
    }
}

/// A framework with some recorders, and what they have said.
pub struct Stage {
    pub framework: Framework,
    heard: Receiver<String>,
}

impl Stage {
    /// All of them are in `h`, which has the group `/a`; nothing of that is to be heard.
    pub fn new(names: &[&'static str]) -> Stage {
        let mut stage = Stage::unmounted(names);
        stage.make(&[mount("h", names), mkdir("h:/a")]);
        stage
    }

    pub fn unmounted(names: &[&'static str]) -> Stage {
        let without_files: Vec<_> = names.iter().map(|name| (*name, &[][..])).collect();
        Stage::with_files(&without_files)
    }

    pub fn with_files(recorders: &[(&'static str, &'static [ControlFile])]) -> Stage {
        let (said, heard) = channel();
        let subsystems = recorders.iter().map(|(name, files)| {
            Box::new(Recorder {
                name,
                files,
                said: said.clone(),
                paths: BTreeMap::new(),
            }) as Box<dyn Subsystem>
        });
        let framework = Framework::with_subsystems(host(), subsystems.collect());
        Stage { framework, heard }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.try_iter().collect()
    }

    /// What was said while the batch was tried, and while it was made real.
    pub fn make(&mut self, commands: &[Command]) -> (Vec<String>, Vec<String>) {
        self.heard();
        let plan = self.framework.plan(&Credentials::ROOT, commands).unwrap();
        assert_eq!(plan.commands(), commands);
        let tried = self.heard();
        self.framework.commit(plan).unwrap();
        self.framework.check_invariants();
        (tried, self.heard())
    }

    /// What was said while a batch was refused.
    pub fn refused(&mut self, commands: &[Command]) -> Vec<String> {
        self.heard();
        let refusal = self.framework.plan(&Credentials::ROOT, commands);
        assert_eq!(refusal.unwrap_err().errno, Errno::EBUSY);
        self.heard()
    }

    pub fn born(&mut self, name: &str) -> (TaskId, Command) {
        let task = self.framework.allocate_task();
        let fork = Command::Fork {
            task,
            name: name.parse().unwrap(),
            tid: Tid(task.0 as u32),
            parent: None,
        };
        (task, fork)
    }
}
