//! The engine with a bounded number of places, and one statement's way through it.
//!
//! Every statement gets a session of its own, opened for it and closed after it (0.3 ms), so that
//! no setting, database or temporary table of one request can show in another. One session stays
//! open throughout, since closing the last one shuts the engine down.
#![forbid(unsafe_code)]

use crate::failure::{Failure, code};
use crate::ffi::{Answer, Connection, Library, LoadError};
use crate::folder::{Folder, FolderError};
use crate::request::Ask;
use crate::sql;
use bytes::Bytes;
use std::collections::HashSet;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

/// Statements at once: each holds a thread and the memory of one query; the engine's threads
/// share the cores, so more would only wait inside it.
pub const PLACES: usize = 8;
/// Statements that may wait for a place: eight turns' worth, each with little more than its text.
const QUEUE: usize = 64;
/// How long one may wait: the longest that a writer's once-a-second insert should not notice.
const QUEUE_TIME: Duration = Duration::from_secs(30);
/// For a cancelled statement to notice; it looks between blocks.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// What to start.
pub struct Options {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// Memory above which statements are refused.
    pub memory_bytes: u64,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The library.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The engine itself.
    #[error(
        "the engine refused to open {0}; what it had to say is above. If a newer version has \
         written there, use that version again or another folder"
    )]
    Refused(PathBuf),
    /// It runs but does not answer.
    #[error("the engine opened {data} but answered its first query with: {reason}")]
    Mute {
        /// The folder.
        data: PathBuf,
        /// Its message.
        reason: String,
    },
}

/// The running engine.
pub struct Engine {
    library: Library,
    arguments: Vec<CString>,
    version: String,
    anchor: Mutex<Option<Connection>>,
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    running: Arc<Mutex<HashSet<String>>>,
    _folder: Folder,
}

/// A piece of an insert's rows on its way to the engine.
pub enum Piece {
    /// The next bytes.
    Rows(Bytes),
    /// That was all of them. A sender dropped without this cancels the insert.
    End,
}

/// What is to be run.
pub enum Work {
    /// One statement, whole.
    Text(Vec<u8>),
    /// An insert whose rows come in pieces.
    Rows {
        /// The statement without its format.
        head: Vec<u8>,
        /// The rows' format.
        format: String,
        /// The rows.
        pieces: mpsc::Receiver<Piece>,
    },
}

/// A place in the engine and a query id nobody else has. Held by the thread that runs the
/// statement, not by the request: a client that left does not free them while it still runs.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _id: RunningId,
}

impl Engine {
    /// Loads the library, locks the folder and opens it. Blocks for about 0.1 s.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let folder = Folder::lock(&options.data)?;
        let library = Library::load(&options.library)?;
        let arguments: Vec<CString> = folder
            .configure(options.memory_bytes)?
            .into_iter()
            .map(|argument| CString::new(argument).expect("a path has no NUL byte"))
            .collect();
        let data = options.data.clone();
        let Some(mut anchor) = library.connect(&arguments) else {
            return Err(StartError::Refused(data));
        };
        let version = anchor
            .query(b"SELECT version()", "RawBLOB", &[])
            .map(|answer| String::from_utf8_lossy(answer.as_ref()).into_owned())
            .map_err(|reason| StartError::Mute { data, reason })?;
        Ok(Self {
            library,
            arguments,
            version,
            anchor: Mutex::new(Some(anchor)),
            places: Arc::new(Semaphore::new(PLACES)),
            queue: Arc::new(Semaphore::new(QUEUE)),
            running: Arc::default(),
            _folder: folder,
        })
    }

    /// The engine's version, such as `26.7.2.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Waits for a place, as long as the queue's bounds allow.
    pub async fn place(&self, id: RunningId) -> Result<Place, Failure> {
        let full = |reason: &str| {
            Failure::new(
                code::TOO_MANY_SIMULTANEOUS_QUERIES,
                format_args!("Too many simultaneous queries: {PLACES} run and {reason}; try again"),
            )
        };
        let _waiting =
            self.queue.try_acquire().map_err(|_| full(&format!("{QUEUE} wait already")))?;
        let permit = timeout(QUEUE_TIME, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| full(&format!("none ended within {} s", QUEUE_TIME.as_secs())))?
            .map_err(|_| Failure::new(code::ABORTED, "the server is shutting down"))?;
        Ok(Place { _permit: permit, _id: id })
    }

    /// Takes a query id, or refuses it while a query with the same one waits or runs.
    pub fn claim(&self, id: &str) -> Result<RunningId, Failure> {
        if !lock(&self.running).insert(id.to_owned()) {
            return Err(Failure::new(
                code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                format_args!(
                    "Query with id = {id} is already running. \
                     (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)"
                ),
            ));
        }
        Ok(RunningId { id: id.to_owned(), running: Arc::clone(&self.running) })
    }

    /// Runs one statement in a session of its own. Blocks; call it on a thread for that.
    pub fn run(&self, ask: &Ask, work: Work, _place: Place) -> Result<Answer, Failure> {
        let mut session = self.library.connect(&self.arguments).ok_or_else(|| {
            Failure::new(code::ABORTED, "the engine opens no further session; is it shutting down?")
        })?;
        if let Some(set) = ask.set_statement()? {
            session.query(set.as_bytes(), "Null", &[]).map_err(Failure::from_engine)?;
        }
        if let Some(database) = &ask.database {
            let statement = sql::use_statement(database);
            session.query(statement.as_bytes(), "Null", &[]).map_err(Failure::from_engine)?;
        }
        match work {
            Work::Text(text) => {
                if session.statements(&text).is_some_and(|count| count > 1) {
                    return Err(Failure::new(
                        code::SYNTAX_ERROR,
                        "Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)",
                    ));
                }
                let format = ask.format.as_deref().unwrap_or("TabSeparated");
                session.query(&text, format, &ask.params).map_err(Failure::from_engine)
            }
            Work::Rows { head, format, pieces } => {
                insert(&mut session, ask, &head, &format, pieces)
            }
        }
    }

    /// Waits until nothing runs, then closes the engine. At `deadline` it cancels what still
    /// runs. `false` where even that did not help: the process must then be ended hard, which
    /// the data survives.
    pub async fn close(self: Arc<Self>, deadline: Instant) -> bool {
        let all = u32::try_from(PLACES).expect("eight");
        let idle = |until| timeout_at(until, Arc::clone(&self.places).acquire_many_owned(all));
        if idle(deadline).await.is_err() {
            tracing::warn!("statements still run at the end of the drain, cancelling them");
            let engine = Arc::clone(&self);
            let cancelling = tokio::task::spawn_blocking(move || {
                lock(&engine.anchor)
                    .as_mut()
                    .map(|anchor| anchor.query(b"KILL QUERY WHERE 1 ASYNC", "Null", &[]).err())
            });
            if let Ok(Some(Some(error))) = cancelling.await {
                tracing::warn!(%error, "cancelling failed");
            }
            if idle(Instant::now() + CANCEL_TIME).await.is_err() {
                return false;
            }
        }
        self.places.close();
        tokio::task::spawn_blocking(move || drop(lock(&self.anchor).take())).await.is_ok()
    }
}

fn insert(
    session: &mut Connection,
    ask: &Ask,
    head: &[u8],
    format: &str,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Answer, Failure> {
    let mut insert = session.insert(head, format, &ask.params).map_err(Failure::from_engine)?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Rows(rows)) => insert.append(&rows).map_err(Failure::from_engine)?,
            Some(Piece::End) => return insert.finish().map_err(Failure::from_engine),
            None => {
                return Err(Failure::new(
                    code::ABORTED,
                    "the rows ended before the request did; nothing that was not yet a full \
                     block is stored",
                ));
            }
        }
    }
}

/// A query id in use; dropping it makes it free again.
pub struct RunningId {
    id: String,
    running: Arc<Mutex<HashSet<String>>>,
}

impl Drop for RunningId {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave them half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
