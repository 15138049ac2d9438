//! Bare pickles: ways to import and call, and ways to hide it.

use super::write::{framed, global, gzip, join, member, short, unicode, zip, zlib};
use super::{Sample, sample};

/// Functions that have been used, or can be, to run code, read files or reach a network.
const GADGETS: &[(&str, &str)] = &[
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "spawnv"),
    ("subprocess", "Popen"),
    ("subprocess", "call"),
    ("subprocess", "run"),
    ("subprocess", "check_output"),
    ("subprocess", "getoutput"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "getattr"),
    ("builtins", "setattr"),
    ("builtins", "open"),
    ("builtins", "__import__"),
    ("builtins", "map"),
    ("builtins", "apply"),
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("__builtin__", "file"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("runpy", "_run_code"),
    ("runpy", "run_module"),
    ("pty", "spawn"),
    ("timeit", "timeit"),
    ("timeit", "main"),
    ("cProfile", "run"),
    ("profile", "run"),
    ("pdb", "run"),
    ("bdb", "Bdb"),
    ("code", "InteractiveInterpreter"),
    ("trace", "Trace"),
    ("doctest", "debug_script"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("cloudpickle", "loads"),
    ("dill", "loads"),
    ("joblib", "load"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch.utils.collect_env", "run"),
    ("torch._dynamo.guards", "GuardBuilder"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.f2py", "compile"),
    ("numpy", "load"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("operator", "itemgetter"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("marshal", "loads"),
    ("ctypes", "CDLL"),
    ("_ctypes", "dlopen"),
    ("shutil", "rmtree"),
    ("shutil", "copy"),
    ("socket", "create_connection"),
    ("socket", "socket"),
    ("urllib.request", "urlopen"),
    ("urllib.request", "urlretrieve"),
    ("requests.api", "get"),
    ("http.client", "HTTPSConnection"),
    ("webbrowser", "open"),
    ("pip", "main"),
    ("pip._internal", "main"),
    ("ensurepip", "_run_pip"),
    ("asyncio.unix_events", "_UnixSubprocessTransport"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("logging.config", "_resolve"),
    ("logging", "FileHandler"),
    ("idlelib.run", "Executive"),
    ("idlelib.pyshell", "ModifiedInterpreter"),
    ("lib2to3.pgen2.grammar", "Grammar"),
    ("venv", "create"),
    ("sys", "modules"),
    ("sys", "exit"),
    ("linecache", "getline"),
    ("io", "open"),
    ("codecs", "open"),
    ("pathlib", "Path"),
    ("tempfile", "mktemp"),
    ("zipimport", "zipimporter"),
    ("pkgutil", "resolve_name"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "add_extension"),
    ("collections", "namedtuple"),
    ("aiohttp.client", "ClientSession"),
    ("tensorflow.io", "read_file"),
    ("uuid", "_get_command_stdout"),
    ("imaplib", "IMAP4_stream"),
    ("test.support.script_helper", "assert_python_ok"),
    ("site", "main"),
    ("_osx_support", "_read_output"),
    ("distutils.file_util", "write_file"),
    ("antigravity", "geohash"),
];

fn reduce(protocol: u8, callee: &[u8]) -> Vec<u8> {
    join(&[&[0x80, protocol], callee, &unicode("id"), b"\x85R."])
}

pub fn hostile() -> Vec<Sample> {
    let mut all: Vec<Sample> = GADGETS
        .iter()
        .map(|(module, name)| {
            sample("gadget function", format!("{module}.{name}"), reduce(2, &global(module, name)))
        })
        .collect();
    all.extend(opcodes());
    all.extend(names());
    all.extend(memo());
    all.extend(stacked());
    all.extend(spoofed());
    all
}

fn opcodes() -> Vec<Sample> {
    let t = "pickle opcode";
    let system = global("os", "system");
    vec![
        sample(t, "text REDUCE", b"cos\nsystem\n(S'id'\ntR.".to_vec()),
        sample(t, "text INST", b"(S'id'\nios\nsystem\n.".to_vec()),
        sample(t, "text OBJ", b"(cos\nsystem\nS'id'\no.".to_vec()),
        sample(t, "binary protocol 1", b"cposix\nsystem\nq\0U\x02id\x85R.".to_vec()),
        sample(t, "NEWOBJ", join(&[b"\x80\x02", &system, &unicode("id"), b"\x85\x81."])),
        sample(t, "NEWOBJ_EX", join(&[b"\x80\x04", &system, &unicode("id"), b"\x85}\x92."])),
        sample(
            t,
            "STACK_GLOBAL",
            framed(&join(&[&short("os"), &short("system"), b"\x93", &short("id"), b"\x85R."])),
        ),
        sample(
            t,
            "protocol 5",
            join(&[b"\x80\x05", &short("os"), &short("system"), b"\x93", &short("id"), b"\x85R."]),
        ),
        sample(t, "import without call", join(&[b"\x80\x02", &system, b"."])),
        sample(
            t,
            "BUILD on a class",
            join(&[b"\x80\x02", &global("collections", "OrderedDict"), b"}X\x01\0\0\0aK\x01sb."]),
        ),
        sample(t, "EXT1", b"\x80\x02\x82\x01X\x02\0\0\0id\x85R.".to_vec()),
        sample(t, "EXT2", b"\x80\x02\x83\x01\x01X\x02\0\0\0id\x85R.".to_vec()),
        sample(t, "EXT4", b"\x80\x02\x84\x01\x01\0\0X\x02\0\0\0id\x85R.".to_vec()),
        sample(t, "NEXT_BUFFER", b"\x80\x05\x97.".to_vec()),
        sample(t, "persistent id", b"\x80\x02X\x02\0\0\0idQ.".to_vec()),
        sample(t, "text persistent id", b"Pos.system\n.".to_vec()),
        sample(t, "call of a result", join(&[b"\x80\x02", &global("builtins", "list"), b")R)R."])),
        sample(t, "call of a text", join(&[b"\x80\x02", &unicode("os.system"), b")R."])),
        sample(t, "arguments in a list", join(&[b"\x80\x02", &global("builtins", "list"), b"]R."])),
        sample(t, "hidden behind POP", join(&[b"\x80\x02", &system, &unicode("id"), b"\x85R0N."])),
        sample(t, "hidden behind POP_MARK", join(&[b"\x80\x02(", &system, &unicode("id"), b"\x85R1N."])),
        sample(t, "as a dictionary's key", join(&[b"\x80\x02}(", &system, &unicode("id"), b"\x85RNu."])),
        sample(t, "in a set", join(&[b"\x80\x04\x8f(", &system, &unicode("id"), b"\x85R\x90."])),
        sample(
            t,
            "as state",
            join(&[
                b"\x80\x02",
                &global("collections", "OrderedDict"),
                b")R",
                &system,
                &unicode("id"),
                b"\x85Rb.",
            ]),
        ),
        sample(t, "no STOP", join(&[b"\x80\x02", &system, &unicode("id"), b"\x85R"])),
        sample(t, "damaged after the call", join(&[b"\x80\x02", &system, &unicode("id"), b"\x85R\xff\xff."])),
        sample(t, "protocol 99", b"\x80\x63cos\nsystem\n.".to_vec()),
        sample(
            t,
            "frame that lies",
            join(&[b"\x80\x04\x95\x03\0\0\0\0\0\0\0", &short("os"), &short("system"), b"\x93."]),
        ),
        sample(
            t,
            "frame beyond the end",
            join(&[b"\x80\x04\x95\xff\xff\xff\0\0\0\0\0", &short("os"), &short("system"), b"\x93."]),
        ),
        sample(t, "frame in a frame", framed(b"\x95\x01\0\0\0\0\0\0\0.")),
        sample(t, "mark left on the stack", b"\x80\x02(N.".to_vec()),
        sample(t, "values left on the stack", join(&[b"\x80\x02", &system, b"N."])),
        sample(t, "huge length", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.".to_vec()),
        sample(t, "huge memo index", b"\x80\x02Nr\xff\xff\xff\xff.".to_vec()),
    ]
}

fn names() -> Vec<Sample> {
    let t = "pickle names";
    let mut all: Vec<Sample> = [
        ("logging", "os.system"),
        ("collections", "abc.sys.modules"),
        ("numpy", "os.system"),
        ("torch", "serialization.os.system"),
        ("decimal", "_sys.modules"),
        ("datetime", "sys.exit"),
    ]
    .iter()
    .map(|(module, name)| sample(t, format!("dotted {module} {name}"), reduce(4, &global(module, name))))
    .collect();
    let stack_global = |module: &[u8], name: &[u8]| join(&[b"\x80\x04", module, name, b"\x93)R."]);
    all.extend([
        sample(t, "number as module", stack_global(b"K\x01", &short("system"))),
        sample(t, "bytes as name", stack_global(&short("os"), b"C\x06system")),
        sample(t, "escaped text", join(&[b"\x80\x04S'\\x6fs'\nS'system'\n\x93S'id'\n\x85R."])),
        sample(t, "escaped unicode", join(&[b"\x80\x04V\\u006fs\nVsystem\n\x93Vid\n\x85R."])),
        sample(t, "text from a list", stack_global(b"]", &short("system"))),
        sample(t, "global as name", stack_global(&short("os"), &global("builtins", "list"))),
        sample(t, "listed name with a space", reduce(2, &global("builtins", "list "))),
        sample(t, "listed name with return", reduce(2, b"cbuiltins\r\nlist\r\n")),
        sample(t, "module of a listed prefix", reduce(2, &global("collections.abc", "OrderedDict"))),
        sample(t, "look-alike letters", reduce(2, "cc\u{43e}llections\nOrderedDict\n".as_bytes())),
        sample(t, "long text as name", stack_global(&short("os"), &unicode(&"s".repeat(300)))),
        sample(t, "empty module", reduce(2, b"c\nsystem\n")),
    ]);
    all
}

fn memo() -> Vec<Sample> {
    let t = "pickle memo";
    let benign = join(&[&short("collections"), b"\x940", &short("OrderedDict"), b"\x940"]);
    vec![
        // What a reader that follows the last opcode takes for "id" is "os" in the memo.
        sample(
            t,
            "BINPUT after POP",
            join(&[
                b"\x80\x04",
                &short("os"),
                &short("collections"),
                b"0q\x000",
                &short("system"),
                b"q\x010h\0h\x01\x93",
                &short("id"),
                b"\x85R.",
            ]),
        ),
        sample(
            t,
            "overwritten place",
            join(&[
                b"\x80\x04",
                &benign,
                &short("os"),
                b"q\0",
                b"0",
                &short("system"),
                b"q\x010h\0h\x01\x93)R.",
            ]),
        ),
        sample(
            t,
            "MEMOIZE counts places",
            join(&[
                b"\x80\x04",
                &short("x"),
                b"q\x050",
                &short("os"),
                b"\x940",
                &short("system"),
                b"\x940h\x01h\x02\x93)R.",
            ]),
        ),
        sample(t, "never written", b"\x80\x04h\x07h\x08\x93)R.".to_vec()),
        sample(t, "by text indexes", b"cos\nsystem\np1\n0g1\n(S'id'\ntR.".to_vec()),
        sample(
            t,
            "by long indexes",
            join(&[b"\x80\x04", &global("os", "system"), b"r\x01\x02\0\x000j\x01\x02\0\0)R."]),
        ),
        sample(t, "DUP", join(&[b"\x80\x04", &global("os", "system"), b"2q\x0000h\0)R."])),
        sample(t, "index with underscore", b"cos\nsystem\np1_0\n0g10\n)R.".to_vec()),
        sample(t, "from the pickle before", memo_of_the_first()),
    ]
}

/// A scanner that carries its memo over believes the second pickle to import `collections.OrderedDict`.
pub fn memo_of_the_first() -> Vec<u8> {
    let first = join(&[b"\x80\x04", &short("collections"), b"\x940", &short("OrderedDict"), b"\x940N."]);
    let second = join(&[
        b"\x80\x04",
        &short("os"),
        b"\x940",
        &short("system"),
        b"\x940h\0h\x01\x93",
        &short("id"),
        b"\x85R.",
    ]);
    join(&[&first, &second])
}

fn stacked() -> Vec<Sample> {
    let t = "stacked, polyglot";
    let evil = reduce(2, &global("os", "system"));
    let clean: &[u8] = b"\x80\x02]K\x01a.";
    let archive = zip(&[member("x.txt", b"{}")]);
    vec![
        sample(t, "second of two", join(&[clean, &evil])),
        sample(t, "tenth of ten", join(&[&clean.repeat(9), &evil])),
        sample(t, "text pickle behind", join(&[clean, b"cos\nsystem\n(S'id'\ntR."])),
        sample(t, "zip behind a pickle", join(&[clean, &archive])),
        sample(t, "hostile pickle before a zip", join(&[&evil, &archive])),
        sample(t, "zeros, then a pickle", join(&[clean, &[0; 64], &evil])),
        sample(t, "text behind", join(&[clean, b"hello"])),
        sample(t, "pickle behind JSON", join(&[b"{\"a\": 1}", &evil])),
        sample(t, "line before a pickle", join(&[b"\n", &evil])),
        sample(t, "script", b"#!/bin/sh\nid\n".to_vec()),
        sample(t, "program", b"\x7fELF\x02\x01\x01".to_vec()),
        sample(t, "gzip", gzip(&evil)),
        sample(t, "zlib (joblib)", zlib(&evil)),
        sample(t, "gzip in zlib", zlib(&gzip(&evil))),
        sample(t, "bytes behind gzip", join(&[&gzip(clean), &evil])),
        sample(t, "two gzip members", join(&[&gzip(clean), &gzip(&evil)])),
        sample(t, "bytes behind zlib", join(&[&zlib(clean), &evil])),
        sample(t, "gzip with a wrong checksum", {
            let mut g = gzip(clean);
            let at = g.len() - 6;
            g[at] ^= 1;
            g
        }),
        sample(t, "gzip that is cut", {
            let mut g = gzip(&evil);
            g.truncate(g.len() - 9);
            g
        }),
        sample(t, "bzip2", b"BZh91AY&SY".to_vec()),
        sample(t, "xz", b"\xfd7zXZ\0\0\x04".to_vec()),
        sample(t, "lz4", b"\x04\x22\x4d\x18\x40".to_vec()),
        sample(t, "joblib array, then a call", {
            join(&[
                b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(",
                &unicode("shape"),
                b"K\x04\x85",
                &unicode("dtype"),
                b"cnumpy\ndtype\n",
                &unicode("u1"),
                b"\x85R",
                b"ub\0\0\0\0",
                &global("os", "system"),
                &unicode("id"),
                b"\x85R\x86.",
            ])
        }),
        sample(t, "joblib array of objects", {
            join(&[
                b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(",
                &unicode("shape"),
                b"K\x01\x85",
                &unicode("dtype"),
                b"cnumpy\ndtype\n",
                &unicode("O8"),
                b"\x85R",
                b"ub",
                &evil,
                b".",
            ])
        }),
    ]
}

/// What an extension would say is not asked, so these are the bytes that such files have been found with.
fn spoofed() -> Vec<Sample> {
    let t = "content under another name";
    let evil = reduce(2, &global("builtins", "exec"));
    ["safetensors", "onnx", "json", "npy", "h5", "txt", "gguf", "model", "data", "index"]
        .iter()
        .map(|name| {
            sample(
                t,
                format!("pickle as .{name}"),
                join(&[&evil[..evil.len() - 1], b"0", &unicode(name), b"."]),
            )
        })
        .collect()
}
