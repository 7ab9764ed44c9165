//! An opened adapter: device, queue, and its faults as errors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minuend_runtime::DeviceError;
use wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, Device, DeviceDescriptor, ErrorFilter,
    ExperimentalFeatures, Features, MemoryHints, PollType, Queue, SubmissionIndex,
};

use crate::limits::WANTED;

/// A device and its queue.
pub(crate) struct Gpu {
    pub(crate) device: Device,
    pub(crate) queue: Queue,
    /// The adapter, in words.
    pub(crate) name: String,
    /// Why the device was lost, once it is.
    lost: Arc<OnceLock<String>>,
    /// The first error that no scope caught.
    stray: Arc<Mutex<Option<wgpu::Error>>>,
    buffers: AtomicU64,
    pub(crate) max_buffer_bytes: u64,
    pub(crate) uniform_alignment: u64,
}

impl Gpu {
    /// Opens an adapter with every feature in [`WANTED`] that it has, and with its own limits.
    pub(crate) fn open(adapter: &Adapter, name: String) -> Result<Gpu, DeviceError> {
        let limits = adapter.limits();
        let features = adapter.features().intersection(WANTED);
        let opened = request(adapter, features).or_else(|_| {
            // Some drivers list the experimental feature and then refuse it.
            request(adapter, features - Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
        });
        let (device, queue) = opened.map_err(|error| DeviceError::Setup {
            device: name.clone(),
            reason: error.to_string(),
        })?;
        let lost = Arc::new(OnceLock::new());
        let (seen, stray) = (Arc::clone(&lost), Arc::new(Mutex::new(None)));
        device.set_device_lost_callback(move |reason, message| {
            // Only the first loss tells the cause.
            let _ = seen.set(format!("{reason:?}: {message}"));
        });
        let uncaught = Arc::clone(&stray);
        device.on_uncaptured_error(Arc::new(move |error| {
            uncaught.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }));
        Ok(Gpu {
            device,
            queue,
            name,
            lost,
            stray,
            buffers: AtomicU64::new(0),
            max_buffer_bytes: limits.max_buffer_size,
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment.max(4)),
        })
    }

    /// A number for one more buffer.
    pub(crate) fn next_buffer_id(&self) -> u64 {
        self.buffers.fetch_add(1, Ordering::Relaxed)
    }

    /// True if the opened device may use the features.
    pub(crate) fn has(&self, features: Features) -> bool {
        self.device.features().contains(features)
    }

    /// Runs `work` and gives the error it raised on the device, if any.
    pub(crate) fn caught<T>(&self, work: impl FnOnce() -> T) -> Result<T, wgpu::Error> {
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let done = work();
        let errors = [
            pollster::block_on(validation.pop()),
            pollster::block_on(memory.pop()),
            pollster::block_on(internal.pop()),
        ];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    /// A buffer, or why there is none.
    pub(crate) fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<Buffer, DeviceError> {
        self.check_alive()?;
        // A binding has at least a word.
        let size = bytes.max(4).next_multiple_of(4);
        if size > self.max_buffer_bytes {
            return Err(DeviceError::Limit {
                device: self.name.clone(),
                limit: "largest buffer in bytes",
                what: what.to_string(),
                needed: size,
                available: self.max_buffer_bytes,
            });
        }
        let descriptor =
            BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        self.caught(|| self.device.create_buffer(&descriptor)).map_err(|error| match error {
            wgpu::Error::OutOfMemory { .. } => {
                DeviceError::OutOfMemory { bytes: size, what: format!("{what} on {}", self.name) }
            }
            error @ (wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. }) => {
                self.fault(&error)
            }
        })
    }

    /// Waits for a submission, or for all submitted work, and gives what went wrong on the way.
    pub(crate) fn wait(&self, for_: Option<SubmissionIndex>) -> Result<(), DeviceError> {
        let waited = self.device.poll(PollType::Wait { submission_index: for_, timeout: None });
        self.check_alive()?;
        waited.map(|_| ()).map_err(|error| DeviceError::Setup {
            device: self.name.clone(),
            reason: error.to_string(),
        })
    }

    /// An error if the device is lost, or if something failed outside of every error scope.
    pub(crate) fn check_alive(&self) -> Result<(), DeviceError> {
        if let Some(lost) = self.loss() {
            return Err(lost);
        }
        match self.stray.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(self.fault(&error)),
            None => Ok(()),
        }
    }

    fn loss(&self) -> Option<DeviceError> {
        let reason = self.lost.get()?.clone();
        Some(DeviceError::Lost { device: self.name.clone(), reason })
    }

    /// A device error in words, on one line. On a lost device everything fails; the loss is the cause.
    pub(crate) fn fault(&self, error: &wgpu::Error) -> DeviceError {
        // The loss is told by a poll. One that fails tells of nothing but the loss.
        let _ = self.device.poll(PollType::Poll);
        self.loss().unwrap_or_else(|| DeviceError::Setup {
            device: self.name.clone(),
            reason: one_line(&error.to_string()),
        })
    }
}

/// The lines of a message, joined.
pub(crate) fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" | ")
}

fn request(
    adapter: &Adapter,
    features: Features,
) -> Result<(Device, Queue), wgpu::RequestDeviceError> {
    let is_experimental = features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    let experimental_features = if is_experimental {
        // SAFETY: the one experimental feature in use is cooperative matrices. Its kernels load and
        // store whole matrices inside of buffers whose sizes the selection has checked.
        unsafe { ExperimentalFeatures::enabled() }
    } else {
        ExperimentalFeatures::disabled()
    };
    let descriptor = DeviceDescriptor {
        label: Some("minuend"),
        required_features: features,
        required_limits: adapter.limits(),
        experimental_features,
        memory_hints: MemoryHints::Performance,
        ..DeviceDescriptor::default()
    };
    pollster::block_on(adapter.request_device(&descriptor))
}
