//! The one module with `unsafe`: libchdb's C interface as four safe types.
//!
//! [`Library`] is the loaded file, [`Connection`] one session of the engine, [`Insert`] a streamed
//! insert on it, [`Answer`] what a statement returned. The signatures follow `chdb.h` of engine
//! 26.7; [`Library::load`] refuses a file that lacks one of them.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

/// `CHDBSuccess` of `chdb_state`.
const SUCCESS: c_int = 0;

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("the engine library {0} does not exist: {HOW}")]
    Missing(PathBuf),
    /// The file is no library for this machine.
    #[error("{path} cannot be loaded as the engine library ({source}): {HOW}")]
    NotALibrary {
        /// The file that was tried.
        path: PathBuf,
        /// What the dynamic linker said.
        source: libloading::Error,
    },
    /// A library, but another one or an older engine.
    #[error(
        "{path} is a library but not the engine this version needs ({symbol} is missing): {HOW}"
    )]
    WrongLibrary {
        /// The file that was tried.
        path: PathBuf,
        /// The first function that it lacks.
        symbol: &'static str,
    },
}

const HOW: &str = "run `cargo xtask up`, which fetches the pinned one, or install the npm package \
                   @chdb/lib-linux-x64-gnu 26.7.3-stable.1 and give its libchdb.so with --lib";

/// `chdb_query_analysis_v1`.
#[repr(C)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

type Handle = *mut c_void;
type Params = (*const *const c_char, *const usize, *const *const c_char, *const usize, usize);

macro_rules! symbols {
    ($($field:ident: $type:ty;)*) => {
        #[derive(Clone, Copy)]
        struct Symbols { $($field: $type,)* }

        impl Symbols {
            fn find(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the type is the one chdb.h declares for this name; the library
                        // is never unloaded, so the copied pointer stays valid.
                        unsafe { library.get::<$type>(concat!(stringify!($field), "\0")) }
                            .map(|found| *found)
                            .map_err(|_| stringify!($field))?
                    },)*
                })
            }
        }
    };
}

symbols! {
    chdb_version: unsafe extern "C" fn() -> *const c_char;
    chdb_set_signal_handlers_enabled: unsafe extern "C" fn(c_int);
    chdb_connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle;
    chdb_close_conn: unsafe extern "C" fn(*mut Handle);
    chdb_classify_query_n: unsafe extern "C" fn(
        Handle, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int;
    chdb_query_with_params_n: unsafe extern "C" fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize) -> Handle;
    chdb_destroy_query_result: unsafe extern "C" fn(Handle);
    chdb_result_buffer: unsafe extern "C" fn(Handle) -> *const u8;
    chdb_result_length: unsafe extern "C" fn(Handle) -> usize;
    chdb_result_elapsed: unsafe extern "C" fn(Handle) -> f64;
    chdb_result_error: unsafe extern "C" fn(Handle) -> *const c_char;
    chdb_result_rows_read: unsafe extern "C" fn(Handle) -> u64;
    chdb_result_storage_rows_read: unsafe extern "C" fn(Handle) -> u64;
    chdb_result_storage_bytes_read: unsafe extern "C" fn(Handle) -> u64;
    chdb_result_rows_written: unsafe extern "C" fn(Handle) -> u64;
    chdb_result_bytes_written: unsafe extern "C" fn(Handle) -> u64;
    chdb_stream_insert_with_params_n: unsafe extern "C" fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize) -> Handle;
    chdb_stream_append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int;
    chdb_stream_done: unsafe extern "C" fn(Handle) -> Handle;
    chdb_stream_insert_error: unsafe extern "C" fn(Handle) -> *const c_char;
    chdb_destroy_insert_stream: unsafe extern "C" fn(Handle);
}

/// The loaded engine library. Never unloaded: its threads and exit handlers outlive every handle.
#[derive(Clone)]
pub struct Library {
    symbols: Arc<Symbols>,
}

impl Library {
    /// Loads `libchdb.so` and looks up every function that this room calls.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        if !path.is_file() {
            return Err(LoadError::Missing(path.to_owned()));
        }
        // SAFETY: loading runs the file's initialisers. The path comes from the operator, who
        // runs what is in it by asking for it; libchdb's own initialisers have no precondition.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|source| LoadError::NotALibrary { path: path.to_owned(), source })?;
        let symbols = Symbols::find(&library)
            .map_err(|symbol| LoadError::WrongLibrary { path: path.to_owned(), symbol })?;
        // Unloading would pull the code from under the engine's threads and exit handlers.
        std::mem::forget(library);
        // SAFETY: a plain function without preconditions. The handlers would print a stack trace
        // on a crash and take signals that this process handles itself.
        unsafe { (symbols.chdb_set_signal_handlers_enabled)(0) };
        Ok(Self { symbols: Arc::new(symbols) })
    }

    /// The library's own version, such as `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: takes nothing and returns a static NUL-terminated string.
        unsafe { text((self.symbols.chdb_version)()) }.unwrap_or_default()
    }

    /// Opens a session. The first boots the engine on the path that `arguments` name, the last
    /// one closed shuts it down. `None` where the engine refused.
    pub fn connect(&self, arguments: &[CString]) -> Option<Connection> {
        let mut argv: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let argc = c_int::try_from(argv.len()).expect("a handful of arguments fit an int");
        // SAFETY: argv holds argc valid NUL-terminated strings that live through the call; the
        // engine copies them and, its parameter type notwithstanding, does not write to them.
        let outer = unsafe { (self.symbols.chdb_connect)(argc, argv.as_mut_ptr()) };
        NonNull::new(outer).map(|outer| Connection {
            library: self.clone(),
            outer,
            not_sync: PhantomData,
        })
    }
}

/// One session of the engine: its settings, its current database, one statement at a time.
pub struct Connection {
    library: Library,
    outer: NonNull<Handle>,
    not_sync: PhantomData<*mut ()>,
}

// SAFETY: a connection belongs to no thread (the engine attaches the calling thread in every
// call); it must not be used by two at once, and it is not Sync.
unsafe impl Send for Connection {}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: chdb_connect returned a pointer to a handle that stays valid until closed,
        // which happens in drop only.
        unsafe { *self.outer.as_ptr() }
    }

    /// How many statements the engine's parser finds in `sql`; none where it does not parse.
    pub fn statements(&self, sql: &[u8]) -> Option<u32> {
        let mut analysis = Analysis {
            struct_size: u32::try_from(size_of::<Analysis>()).expect("16 bytes"),
            statement_count: 0,
            flags: 0,
            query_class: 0,
        };
        // SAFETY: `sql` is valid for its length, a null target database of length 0 is allowed,
        // and `analysis` is the struct whose size it states.
        let state = unsafe {
            (self.library.symbols.chdb_classify_query_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        (state == SUCCESS && analysis.statement_count > 0).then_some(analysis.statement_count)
    }

    /// Runs one statement to its end and returns its whole answer in `format`, unless the
    /// statement names another one. The error is the engine's message.
    pub fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &[(String, String)],
    ) -> Result<Answer, String> {
        let lists = ParamLists::new(params);
        let (names, name_lengths, values, value_lengths, count) = lists.parts();
        // SAFETY: every pointer is valid for the length beside it during the call, the engine
        // copies what it keeps; the connection is borrowed mutably, so nobody else uses it.
        let result = unsafe {
            (self.library.symbols.chdb_query_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names,
                name_lengths,
                values,
                value_lengths,
                count,
            )
        };
        Answer::checked(&self.library, result)
    }

    /// Begins an insert whose rows follow in pieces. `head` is the statement up to `FORMAT`.
    pub fn insert(
        &mut self,
        head: &[u8],
        format: &str,
        params: &[(String, String)],
    ) -> Result<Insert<'_>, String> {
        let lists = ParamLists::new(params);
        let (names, name_lengths, values, value_lengths, count) = lists.parts();
        // SAFETY: as in `query`.
        let stream = unsafe {
            (self.library.symbols.chdb_stream_insert_with_params_n)(
                self.handle(),
                head.as_ptr().cast(),
                head.len(),
                format.as_ptr().cast(),
                format.len(),
                names,
                name_lengths,
                values,
                value_lengths,
                count,
            )
        };
        let stream = NonNull::new(stream).ok_or("the engine returned no insert stream")?;
        let insert = Insert { library: self.library.clone(), stream, connection: PhantomData };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the pointer came from chdb_connect and is closed once, here; an `Insert`
        // borrows the connection and is therefore gone.
        unsafe { (self.library.symbols.chdb_close_conn)(self.outer.as_ptr()) };
    }
}

/// A streamed insert. Dropped before [`Insert::finish`] it is cancelled: what was not yet a full
/// block is not stored.
pub struct Insert<'c> {
    library: Library,
    stream: NonNull<c_void>,
    connection: PhantomData<&'c mut Connection>,
}

impl Insert<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: the stream is alive; the text belongs to it and is copied at once.
        unsafe { text((self.library.symbols.chdb_stream_insert_error)(self.stream.as_ptr())) }
    }

    /// Hands over the next bytes; blocks while the engine is behind.
    pub fn append(&mut self, data: &[u8]) -> Result<(), String> {
        // SAFETY: the stream is alive and not finished; `data` is copied during the call.
        let state = unsafe {
            (self.library.symbols.chdb_stream_append)(
                self.stream.as_ptr(),
                data.as_ptr().cast(),
                data.len(),
            )
        };
        if state == SUCCESS {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| "the engine refused the rows without a reason".into()))
    }

    /// Ends the rows and waits until they are stored in the table and behind every view.
    pub fn finish(self) -> Result<Answer, String> {
        // SAFETY: called once, since it consumes the stream; drop frees the handle afterwards.
        let result = unsafe { (self.library.symbols.chdb_stream_done)(self.stream.as_ptr()) };
        Answer::checked(&self.library, result)
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: required once for every handle; cancels first where it was not finished. The
        // connection outlives the stream by the borrow.
        unsafe { (self.library.symbols.chdb_destroy_insert_stream)(self.stream.as_ptr()) };
    }
}

/// What a statement returned: bytes owned by the engine, and its counters.
pub struct Answer {
    library: Library,
    result: NonNull<c_void>,
}

// SAFETY: a result is plain memory that no longer refers to its connection; it is only read, and
// freed once, from whichever thread.
unsafe impl Send for Answer {}
// SAFETY: all access through a shared reference reads.
unsafe impl Sync for Answer {}

impl Answer {
    fn checked(library: &Library, result: Handle) -> Result<Self, String> {
        let result = NonNull::new(result).ok_or("the engine returned no result")?;
        let answer = Self { library: library.clone(), result };
        // SAFETY: the result is alive; the text belongs to it and is copied at once.
        match unsafe { text((library.symbols.chdb_result_error)(result.as_ptr())) } {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// What happened, for `X-ClickHouse-Summary`.
    pub fn counters(&self) -> Counters {
        let (symbols, result) = (&self.library.symbols, self.result.as_ptr());
        // SAFETY: the result is alive; these read a number each.
        unsafe {
            Counters {
                read_rows: (symbols.chdb_result_storage_rows_read)(result),
                read_bytes: (symbols.chdb_result_storage_bytes_read)(result),
                written_rows: (symbols.chdb_result_rows_written)(result),
                written_bytes: (symbols.chdb_result_bytes_written)(result),
                result_rows: (symbols.chdb_result_rows_read)(result),
                elapsed_seconds: (symbols.chdb_result_elapsed)(result),
            }
        }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: buffer and length describe memory that the result owns and nobody changes
        // until it is destroyed, which needs this Answer dropped; null goes with length 0.
        unsafe {
            let start = (self.library.symbols.chdb_result_buffer)(self.result.as_ptr());
            let length = (self.library.symbols.chdb_result_length)(self.result.as_ptr());
            if start.is_null() || length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(start, length)
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: freed once, here.
        unsafe { (self.library.symbols.chdb_destroy_query_result)(self.result.as_ptr()) };
    }
}

/// The engine's counters of one statement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counters {
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables.
    pub read_bytes: u64,
    /// Rows written, those behind materialized views included.
    pub written_rows: u64,
    /// Bytes written, as above.
    pub written_bytes: u64,
    /// Rows in the answer.
    pub result_rows: u64,
    /// Time the engine took.
    pub elapsed_seconds: f64,
}

/// Parameter names and values as the four parallel arrays of the C interface.
struct ParamLists {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl ParamLists {
    /// The lists point into `params`, which the callers keep borrowed through the call.
    fn new(params: &[(String, String)]) -> Self {
        Self {
            names: params.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: params.iter().map(|(name, _)| name.len()).collect(),
            values: params.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: params.iter().map(|(_, value)| value.len()).collect(),
        }
    }

    fn parts(&self) -> Params {
        (
            self.names.as_ptr(),
            self.name_lengths.as_ptr(),
            self.values.as_ptr(),
            self.value_lengths.as_ptr(),
            self.names.len(),
        )
    }
}

/// Copies the engine's NUL-terminated text; `None` for null.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
