//! PyTorch's archives, zips with two faces, and everything else that packs files into one.

use super::write::{Member, Zip, deflated, global, gzip, join, member, tar, tar_member, unicode, zip};
use super::{Sample, sample};

/// `data.pkl` of a state dictionary with one tensor of `count` floats.
pub fn data_pkl(count: u8) -> Vec<u8> {
    join(&[
        b"\x80\x02",
        &global("collections", "OrderedDict"),
        b"q\x00)Rq\x01",
        &unicode("weight"),
        b"q\x02",
        &global("torch._utils", "_rebuild_tensor_v2"),
        b"q\x03((",
        &unicode("storage"),
        b"q\x04",
        &global("torch", "FloatStorage"),
        b"q\x05",
        &unicode("0"),
        b"q\x06",
        &unicode("cpu"),
        b"q\x07K",
        &[count],
        b"tq\x08QK\x00K",
        &[count],
        b"\x85q\x09K\x01\x85q\x0a\x89",
        &global("collections", "OrderedDict"),
        b")Rq\x0btq\x0cRq\x0ds}q\x0e",
        &unicode("_metadata"),
        b"q\x0f",
        &global("collections", "OrderedDict"),
        b")Rsb.",
    ])
}

pub fn evil() -> Vec<u8> {
    join(&[b"\x80\x02", &global("os", "system"), &unicode("id"), b"\x85R."])
}

/// The members of an archive as PyTorch writes it.
pub fn members(pickle: &[u8]) -> Vec<Member> {
    let all = [
        ("archive/data.pkl", pickle.to_vec()),
        ("archive/byteorder", b"little".to_vec()),
        ("archive/data/0", vec![0x3f; 16]),
        ("archive/version", b"3\n".to_vec()),
    ];
    all.into_iter()
        .map(|(name, content)| Member { descriptor: true, flags: 0x800, ..member(name, &content) })
        .collect()
}

fn changed(change: impl FnOnce(&mut Vec<Member>)) -> Vec<u8> {
    let mut all = members(&data_pkl(4));
    change(&mut all);
    zip(&all)
}

pub fn hostile() -> Vec<Sample> {
    let mut all = containers();
    all.extend(faces());
    all.extend(legacy());
    all
}

fn containers() -> Vec<Sample> {
    let t = "torch container";
    let evil = evil();
    let mut all = vec![
        sample(t, "data.pkl calls", zip(&members(&evil))),
        sample(t, "deflated data.pkl", zip(&[deflated("archive/data.pkl", &evil)])),
        sample(t, "second pickle", changed(|m| m.push(member("archive/extra.pkl", &evil)))),
        sample(t, "pickle as constants", changed(|m| m.push(member("archive/constants.pkl", &evil)))),
        sample(t, "pickle as data of nobody", changed(|m| m.push(member("archive/data/7", &evil)))),
        sample(t, "pickle as version", changed(|m| m[3].content.clone_from(&evil))),
        sample(t, "pickle elsewhere", changed(|m| m.push(member("other/data.pkl", &evil)))),
        sample(t, "code", changed(|m| m.push(member("archive/code/__torch__.py", b"import os\n")))),
        sample(t, "storage too short", changed(|m| m[2].content.truncate(8))),
        sample(t, "storage too long", changed(|m| m[2].content.extend([0; 32]))),
        sample(t, "storage missing", changed(|m| drop(m.remove(2)))),
        sample(t, "call in the metadata", {
            let mut pickle = data_pkl(4);
            pickle.pop();
            pickle.extend(join(&[b"0", &evil[2..]]));
            zip(&members(&pickle))
        }),
        sample(t, "two pickles in data.pkl", zip(&members(&join(&[&data_pkl(4), &evil])))),
        sample(t, "zip in zip", zip(&[member("inner.bin", &zip(&members(&evil)))])),
        sample(t, "deflated zip in zip", zip(&[deflated("inner.bin", &zip(&members(&evil)))])),
        sample(t, "gzip around it", gzip(&zip(&members(&evil)))),
        sample(t, "tar around it", tar(&[("model.pt", &zip(&members(&evil)))])),
        sample(t, "tar.gz around it", gzip(&tar(&[("model.pt", &zip(&members(&evil)))]))),
    ];
    let mut nested = evil;
    for _ in 0..6 {
        nested = zip(&[member("inner", &nested)]);
    }
    all.push(sample(t, "six deep", nested));
    all
}

/// Archives that two readers see differently.
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn faces() -> Vec<Sample> {
    let t = "zip with two faces";
    let pickle = data_pkl(4);
    let clean = || members(&pickle);
    let evil = evil();
    let whole = |change: &dyn Fn(&mut Zip)| {
        let mut archive = Zip { members: clean(), ..Zip::default() };
        change(&mut archive);
        archive.bytes()
    };
    let plain = |change: &dyn Fn(&mut Member)| {
        let mut one = member("archive/x", b"{\"a\": 1}");
        change(&mut one);
        zip(&[one])
    };
    vec![
        sample(t, "pickle before it", whole(&|z| z.before.clone_from(&evil))),
        sample(t, "pickle behind it", whole(&|z| z.after.clone_from(&evil))),
        sample(t, "pickle in the comment", whole(&|z| z.comment.clone_from(&evil))),
        sample(t, "another archive behind it", whole(&|z| z.after = zip(&members(&evil)))),
        sample(t, "another archive before it", whole(&|z| z.before = zip(&members(&evil)))),
        sample(t, "bytes before the directory", whole(&|z| z.before_directory.clone_from(&evil))),
        sample(t, "bytes between members", changed(|m| m[1].gap.clone_from(&evil))),
        sample(
            t,
            "member in no directory",
            changed(|m| {
                m.push(Member { only_local: true, ..member("archive/hidden.pkl", &evil) });
            }),
        ),
        sample(t, "other name in the local header", plain(&|m| m.local_name = Some(b"archive/y".to_vec()))),
        sample(t, "other length in the local header", plain(&|m| m.local_len = Some(3))),
        sample(t, "other method in the local header", plain(&|m| m.local_method = Some(8))),
        sample(t, "other flags in the local header", plain(&|m| m.local_flags = Some(2))),
        sample(t, "other checksum in the local header", plain(&|m| m.local_crc = Some(1))),
        sample(t, "wrong checksum", plain(&|m| m.crc = Some(1))),
        sample(
            t,
            "wrong checksum, deflated",
            plain(&|m| {
                m.deflate = true;
                m.crc = Some(1);
            }),
        ),
        sample(
            t,
            "wrong length, deflated",
            plain(&|m| {
                m.deflate = true;
                m.central_len = Some(4);
            }),
        ),
        sample(t, "encryption flag", plain(&|m| m.flags = 1)),
        sample(t, "strong encryption flag", plain(&|m| m.flags = 0x41)),
        sample(t, "patched data flag", plain(&|m| m.flags = 0x20)),
        sample(t, "bzip2 method", plain(&|m| m.method = Some(12))),
        sample(t, "unknown method", plain(&|m| m.method = Some(99))),
        sample(t, "unknown extra field", plain(&|m| m.extra = b"\xfe\xca\x04\0abcd".to_vec())),
        sample(t, "extra field that is cut", plain(&|m| m.extra = b"\x01\0\xff\0ab".to_vec())),
        sample(t, "member comment", plain(&|m| m.comment.clone_from(&evil))),
        sample(t, "same name twice", zip(&[member("a", b"{}"), member("a", b"{\"b\": 1}")])),
        sample(t, "same name in capitals", zip(&[member("data.json", b"{}"), member("DATA.json", b"{}")])),
        sample(t, "count of one too few", whole(&|z| z.count = Some(3))),
        sample(t, "count of one too many", whole(&|z| z.count = Some(5))),
        sample(t, "name with ..", zip(&[member("../../x", b"{}")])),
        sample(t, "absolute name", zip(&[member("/etc/x", b"{}")])),
        sample(t, "name with backslash", zip(&[member("..\\x", b"{}")])),
        sample(t, "drive letter", zip(&[member("C:/x", b"{}")])),
        sample(t, "name with NUL", zip(&[member("a\0.json", b"{}")])),
        sample(t, "link", plain(&|m| m.attributes = 0o120_777 << 16)),
        sample(t, "bomb", zip(&[deflated("zeros", &vec![0; 4 << 20])])),
        sample(t, "no members", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        sample(t, "cut off", {
            let mut z = zip(&clean());
            z.truncate(z.len() - 5);
            z
        }),
        sample(t, "bytes behind the deflated data", {
            let packed = join(&[&super::write::deflate(b"{}"), &evil]);
            let crc = crc32fast::hash(b"{}");
            zip(&[Member { method: Some(8), crc: Some(crc), central_len: Some(2), ..member("a", &packed) }])
        }),
    ]
}

fn legacy() -> Vec<Sample> {
    let t = "torch before 1.6, tar";
    let evil = evil();
    let head = legacy_head();
    vec![
        sample(
            t,
            "object calls",
            join(&[&head, &evil, b"\x80\x02]X\x01\0\0\x000a.", &4_u64.to_le_bytes(), &[0; 16]]),
        ),
        sample(t, "system information calls", join(&[&head[..head.len() - 4], &evil])),
        sample(t, "bytes behind the storages", join(&[&legacy_torch(), &evil])),
        sample(t, "storages that are cut", {
            let mut l = legacy_torch();
            l.truncate(l.len() - 3);
            l
        }),
        sample(t, "pickle in a tar", tar(&[("pickle", &evil)])),
        sample(t, "link in a tar", join(&[&tar_member("a", b'2', b""), &[0; 1024]])),
        sample(t, "hard link in a tar", join(&[&tar_member("a", b'1', b""), &[0; 1024]])),
        sample(t, "device in a tar", join(&[&tar_member("a", b'3', b""), &[0; 1024]])),
        sample(t, "name with .. in a tar", tar(&[("../x", b"{}")])),
        sample(t, "absolute name in a tar", tar(&[("/x", b"{}")])),
        sample(t, "same name twice in a tar", tar(&[("a", b"{}"), ("a", b"[]")])),
        sample(t, "bytes behind a tar", join(&[&tar(&[("a", b"{}")]), &evil])),
        sample(
            t,
            "extended header in a tar",
            join(&[&tar_member("a", b'x', b"12 path=../x"), &tar(&[("b", b"{}")])]),
        ),
        sample(t, "wrong checksum in a tar", {
            let mut x = tar(&[("a", b"{}")]);
            x[0] = b'b';
            x
        }),
        sample(t, "7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec()),
        sample(t, "7z in a zip", zip(&[member("a", b"7z\xbc\xaf\x27\x1c\0\x04")])),
        sample(t, "rar", b"Rar!\x1a\x07\0".to_vec()),
    ]
}

fn legacy_head() -> Vec<u8> {
    join(&[b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03.", b"\x80\x02}."])
}

/// A whole file as PyTorch wrote it before 1.6.
pub fn legacy_torch() -> Vec<u8> {
    join(&[
        &legacy_head(),
        &data_pkl(4),
        b"\x80\x02]q\x00X\x01\0\0\x000q\x01a.",
        &4_u64.to_le_bytes(),
        &[0x3f; 16],
    ])
}
