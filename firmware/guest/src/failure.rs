//! Why a verb did not do what it was to do, and the exit code that says so.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// Exit code of a vCPU whose verb waited in vain.
pub const TIMED_OUT: u8 = 3;

/// Why a verb failed.
pub enum Failure {
    /// There is no device.
    NoDevice,
    /// What was waited for did not come.
    TimedOut,
    /// The session is over: the supervisor's last sentence, or what happened instead of one.
    Ended(String),
    /// Something is not as it should be.
    Wrong(Cow<'static, str>),
}

impl Failure {
    /// Something is not as it should be.
    pub const fn wrong(what: &'static str) -> Self {
        Self::Wrong(Cow::Borrowed(what))
    }

    /// The code that the vCPU ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::NoDevice => 1,
            Self::Ended(_) | Self::Wrong(_) => 2,
            Self::TimedOut => TIMED_OUT,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no vsock device"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Ended(why) => write!(f, "session ended: {why}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<virtio_drivers::Error> for Failure {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Wrong(alloc::format!("vsock driver: {error}").into())
    }
}
