//! What others have for a client: messages of channels, lines of MONITOR, the order to close.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

/// Something for a client, built once and shared by all who get it.
#[derive(Clone, Debug)]
pub enum Mail {
    /// A push message of so many elements; the body is their encoding, alike in RESP2 and RESP3.
    Push {
        /// The number of elements.
        elements: u8,
        /// The encoded elements.
        body: Bytes,
    },
    /// Bytes to send as they are.
    Raw(Bytes),
}

impl Mail {
    fn len(&self) -> usize {
        match self {
            Mail::Push { body, .. } | Mail::Raw(body) => body.len(),
        }
    }
}

#[derive(Default)]
struct Inner {
    mail: VecDeque<Mail>,
    waker: Option<Waker>,
}

/// A client's mailbox.
#[derive(Default)]
pub struct Mailbox {
    /// Read by the connection before it takes the lock.
    waiting: AtomicBool,
    closing: AtomicBool,
    bytes: AtomicUsize,
    inner: Mutex<Inner>,
}

impl Mailbox {
    /// Says whom to wake; called by the connection once.
    pub fn set_waker(&self, waker: &Waker) {
        self.inner.lock().waker = Some(waker.clone());
    }

    /// Adds mail and wakes the connection. A client whose mail would pass `limit_bytes` (0: no limit)
    /// loses it all and is closed; the answer is false then.
    pub fn put(&self, mail: Mail, limit_bytes: u64) -> bool {
        let mut inner = self.inner.lock();
        if self.closing.load(Ordering::Relaxed) {
            return false;
        }
        let bytes = self.bytes.load(Ordering::Relaxed) + mail.len() + size_of::<Mail>();
        if limit_bytes > 0 && bytes as u64 > limit_bytes {
            inner.mail = VecDeque::new();
            self.bytes.store(0, Ordering::Relaxed);
            drop(inner);
            self.close();
            return false;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        inner.mail.push_back(mail);
        // One wake a batch: the connection clears the flag before it takes what is there.
        let waker = if self.waiting.swap(true, Ordering::AcqRel) { None } else { inner.waker.clone() };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Asks the connection to close.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes the connection without mail.
    pub fn wake(&self) {
        let waker = self.inner.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the connection was asked to close.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether there is mail.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes all mail.
    pub fn take(&self) -> VecDeque<Mail> {
        let mut inner = self.inner.lock();
        self.waiting.store(false, Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut inner.mail)
    }

    /// The bytes of the mail that waits.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
