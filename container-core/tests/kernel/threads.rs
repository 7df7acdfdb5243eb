//! Real threads to be moved about: they do what they are told and sleep otherwise.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use container_core::{CpuSet, Errno, MAX_CPUS};
use rustix::thread::{Pid, Uid};

use crate::scratch::{Answer, PATIENCE, errno, patiently, write};

/// Whose thread a [`Hand`] is: nobody's in particular.
pub const OTHER_UID: u32 = 65534;

/// One thread; it ends when its orders end.
pub struct Thread {
    pub tid: u32,
    orders: SyncSender<Order>,
    handle: JoinHandle<()>,
}

enum Order {
    /// Start another thread, which is then where this one is.
    Fork(SyncSender<Thread>),
    /// Write `0`, the writer's own task, to a file.
    WriteZero(PathBuf, SyncSender<Answer>),
}

impl Thread {
    pub fn start() -> Thread {
        let (orders, received) = sync_channel(1);
        let (tell, told) = sync_channel(1);
        let handle = std::thread::spawn(move || {
            let _ = tell.send(own_tid());
            obey(received);
        });
        let tid = told.recv().expect("a thread says its id first");
        Thread {
            tid,
            orders,
            handle,
        }
    }

    /// A new thread, started by this one.
    pub fn fork(&self) -> Thread {
        self.ask(Order::Fork)
    }

    /// Move to the group whose `tasks` this is.
    pub fn enter(&self, tasks: PathBuf) -> Answer {
        self.ask(|reply| Order::WriteZero(tasks, reply))
    }

    /// Let it end, and wait until the kernel has no trace of it.
    pub fn end(self) {
        let Thread {
            tid,
            orders,
            handle,
        } = self;
        drop(orders);
        handle.join().expect("a thread does not panic");
        assert!(
            patiently(PATIENCE, || is_gone(tid)),
            "thread {tid} is gone soon after its end"
        );
    }

    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> T {
        let (reply, answer) = sync_channel(1);
        self.orders
            .send(order(reply))
            .expect("a thread takes orders until it is let go");
        answer.recv().expect("a thread answers")
    }
}

fn obey(orders: Receiver<Order>) {
    for order in orders {
        match order {
            Order::Fork(reply) => drop(reply.send(Thread::start())),
            Order::WriteZero(tasks, reply) => drop(reply.send(write(&tasks, b"0"))),
        }
    }
}

/// A thread of another user, who has no right over anybody.
pub struct Hand {
    orders: SyncSender<(PathBuf, String, SyncSender<Answer>)>,
}

impl Hand {
    pub fn start() -> Hand {
        let (orders, received) = sync_channel::<(PathBuf, String, SyncSender<Answer>)>(1);
        std::thread::spawn(move || {
            let uid = Uid::from_raw(OTHER_UID);
            rustix::thread::set_thread_res_uid(uid, uid, uid)
                .expect("root may become another user");
            for (path, value, reply) in received {
                let _ = reply.send(write(&path, value.as_bytes()));
            }
        });
        Hand { orders }
    }

    /// One write(2) as the other user.
    pub fn write(&self, path: &Path, value: &str) -> Answer {
        let (reply, answer) = sync_channel(1);
        let order = (path.into(), value.into(), reply);
        self.orders
            .send(order)
            .expect("the hand is there as long as its owner");
        answer.recv().expect("the hand answers")
    }
}

/// No thread or process of this id is there.
pub fn is_gone(tid: u32) -> bool {
    !Path::new("/proc").join(tid.to_string()).exists()
}

pub fn own_tid() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

/// The CPUs that a thread may run on.
pub fn affinity(tid: u32) -> Result<CpuSet, Errno> {
    let set = rustix::thread::sched_getaffinity(pid(tid)).map_err(|raw| errno(&raw.into()))?;
    let cpus = (0..MAX_CPUS).filter(|cpu| set.is_set(*cpu));
    Ok(cpus.map(|cpu| cpu as u32).collect())
}

/// Ask that a thread run on these CPUs only.
pub fn confine(tid: u32, cpus: CpuSet) -> Answer {
    let mut set = rustix::thread::CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(cpu as usize));
    rustix::thread::sched_setaffinity(pid(tid), &set).map_err(|raw| errno(&raw.into()))
}

fn pid(tid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(tid).expect("the kernel's ids are ints"))
}
