//! The stack machine that executes pickles, restricted to plain data.
//!
//! Of the functions that a pickle may name it knows only those that describe tensors. It calls none of them, and only
//! records their arguments; anything else is refused. Every instruction creates at most one object, so that the length
//! of the pickle bounds memory; copied names and shapes have limits of their own. This file knows nothing of files.

use std::collections::HashMap;

use tch::Kind;

use super::pickle_object::{Function, Handle, MAX_NAME_BYTES, Object, Problem, StridedView};

/// Tensors with more dimensions are refused.
const MAX_DIMENSIONS: usize = 16;

fn function(module: &str, name: &str) -> Result<Function, Problem> {
    let storage = |kind| Ok(Function::Storage(kind));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Function::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Ok(Function::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Function::RebuildParameter),
        ("torch", "FloatStorage") => storage(Kind::Float),
        ("torch", "DoubleStorage") => storage(Kind::Double),
        ("torch", "HalfStorage") => storage(Kind::Half),
        ("torch", "BFloat16Storage") => storage(Kind::BFloat16),
        ("torch", "LongStorage") => storage(Kind::Int64),
        ("torch", "IntStorage") => storage(Kind::Int),
        ("torch", "ShortStorage") => storage(Kind::Int16),
        ("torch", "CharStorage") => storage(Kind::Int8),
        ("torch", "ByteStorage") => storage(Kind::Uint8),
        ("torch", "BoolStorage") => storage(Kind::Bool),
        _ => Err(format!(
            "it asks for {}, which no plain dictionary of tensors needs; nothing was run",
            shown(module, name)
        )),
    }
}

/// A name out of a file for an error message: shortened, with control characters escaped.
fn shown(module: &str, name: &str) -> String {
    let short: String = format!("{module}.{name}").chars().take(100).collect();
    format!("`{}`", short.escape_debug())
}

/// A pickle while it is executed.
pub(super) struct Unpickler<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Handle>,
    /// Heights of the stack at its open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Handle>,
}

impl<'b> Unpickler<'b> {
    /// Executes the pickle that `bytes` begin with. Returns its objects, the index of the root object, and its length.
    pub fn run(bytes: &'b [u8]) -> Result<(Vec<Object>, Handle, usize), Problem> {
        let mut unpickler =
            Self { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let at = unpickler.at;
            let opcode = unpickler.byte()?;
            if opcode == b'.' {
                let root = unpickler.pop()?;
                return Ok((unpickler.objects, root, unpickler.at));
            }
            unpickler.execute(opcode).map_err(|problem| format!("byte {at} of the pickle: {problem}"))?;
        }
    }

    /// Executes one instruction; Python's `pickletools` documents them.
    fn execute(&mut self, opcode: u8) -> Result<(), Problem> {
        match opcode {
            0x80 => self.at = self.after(1)?,
            0x95 => self.at = self.after(8)?,
            b'(' => self.marks.push(self.stack.len()),
            // `b` (BUILD) sets attributes, which are dropped: those of a state dict are versions of its layers.
            b'0' | b'b' => {
                self.pop()?;
            }
            b'N' | 0x88 | 0x89 => self.push(Object::Nothing),
            b'G' => self.skip(8)?,
            b'J' => self.int(4)?,
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            0x8a => self.long()?,
            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            b'C' => self.bytes(1)?,
            b'B' => self.bytes(4)?,
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b'q' | b'h' => {
                let key = u32::from(self.byte()?);
                self.memo(opcode == b'q', key)?;
            }
            b'r' | b'j' => {
                let key = self.number(4)? as u32;
                self.memo(opcode == b'r', key)?;
            }
            0x94 => self.memo(true, self.memo.len() as u32)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Function(function(&module, &name)?));
            }
            0x93 => self.stacked_function()?,
            b'R' => self.reduce()?,
            b'Q' => self.persistent()?,
            _ => return Err(format!("instruction 0x{opcode:02x}, which no plain dictionary of tensors needs")),
        }
        Ok(())
    }

    /// The position `count` bytes further on.
    fn after(&self, count: usize) -> Result<usize, Problem> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        end.ok_or_else(|| "the pickle ends too early".into())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Problem> {
        let end = self.after(count)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number.
    fn number(&mut self, width: usize) -> Result<usize, Problem> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn line(&mut self) -> Result<String, Problem> {
        let length = self.bytes[self.at..].iter().position(|byte| *byte == b'\n').ok_or("a line without an end")?;
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Handle, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.pop().filter(|_| self.stack.len() >= floor);
        top.ok_or_else(|| "the stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Handle>, Problem> {
        let mark = self.marks.pop().ok_or("no mark is open")?;
        Ok(self.stack.split_off(mark))
    }

    fn skip(&mut self, count: usize) -> Result<(), Problem> {
        self.take(count)?;
        self.push(Object::Nothing);
        Ok(())
    }

    fn int(&mut self, width: usize) -> Result<(), Problem> {
        let number = self.number(width)? as i64;
        // Only the 4-byte form is signed.
        self.push(Object::Int(if width == 4 { i64::from(number as i32) } else { number }));
        Ok(())
    }

    /// A signed little-endian number; the first byte is its length.
    fn long(&mut self) -> Result<(), Problem> {
        let width = usize::from(self.byte()?);
        let bytes = self.take(width)?;
        let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
        let mut number = [sign; 8];
        number.get_mut(..width).ok_or("a number of more than 8 bytes")?.copy_from_slice(bytes);
        self.push(Object::Int(i64::from_le_bytes(number)));
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<(), Problem> {
        let length = self.number(width)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is not UTF-8")?.to_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn bytes(&mut self, width: usize) -> Result<(), Problem> {
        let length = self.number(width)?;
        self.skip(length)
    }

    fn tuple(&mut self, count: usize) -> Result<(), Problem> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    /// The object on top of the stack, which is not popped.
    fn top(&mut self) -> Result<&mut Object, Problem> {
        let top = *self.stack.last().ok_or("the stack is empty")?;
        Ok(&mut self.objects[top])
    }

    fn extend(&mut self, items: Vec<Handle>) -> Result<(), Problem> {
        let Object::List(list) = self.top()? else { return Err("it adds to something that is no list".into()) };
        list.extend(items);
        Ok(())
    }

    fn set(&mut self, items: &[Handle]) -> Result<(), Problem> {
        let Object::Dict(entries) = self.top()? else {
            return Err("it sets entries of something that is no dictionary".into());
        };
        let pairs = items.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err("a key without a value".into());
        }
        entries.extend(pairs.map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn memo(&mut self, put: bool, key: u32) -> Result<(), Problem> {
        if put {
            let top = *self.stack.last().ok_or("the stack is empty")?;
            self.memo.insert(key, top);
        } else {
            let remembered = self.memo.get(&key).ok_or_else(|| format!("nothing was remembered as {key}"))?;
            self.stack.push(*remembered);
        }
        Ok(())
    }

    fn stacked_function(&mut self) -> Result<(), Problem> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Object::Text(module), Object::Text(name)) = (&self.objects[module], &self.objects[name]) else {
            return Err("a function without a name".into());
        };
        let function = function(module, name)?;
        self.push(Object::Function(function));
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), Problem> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Tuple(arguments) = &self.objects[arguments] else { return Err("arguments are no tuple".into()) };
        let Object::Function(function) = self.objects[function] else { return Err("it calls what cannot be".into()) };
        match (function, arguments.as_slice()) {
            (Function::OrderedDict, []) => self.push(Object::Dict(Vec::new())),
            (Function::RebuildTensor, [storage, offset, size, stride, ..]) => {
                let view = self.view(*storage, *offset, *size, *stride)?;
                self.push(Object::Tensor(Box::new(view)));
            }
            // A parameter is represented by its tensor.
            (Function::RebuildParameter, [tensor, ..]) => self.stack.push(*tensor),
            _ => return Err("a call with other arguments than PyTorch writes".into()),
        }
        Ok(())
    }

    /// A storage: `("storage", class, key, device, length)`, in the old format followed by view metadata, which must be
    /// `None`.
    fn persistent(&mut self) -> Result<(), Problem> {
        let id = self.pop()?;
        let unexpected = "a reference to something that is no storage";
        let Object::Tuple(id) = &self.objects[id] else { return Err(unexpected.into()) };
        let [tag, class, key, _, length, part @ ..] = id.as_slice() else { return Err(unexpected.into()) };
        let objects = [tag, class, key, length].map(|handle| &self.objects[*handle]);
        let [Object::Text(tag), Object::Function(Function::Storage(kind)), Object::Text(key), Object::Int(length)] =
            objects
        else {
            return Err(unexpected.into());
        };
        if tag != "storage"
            || key.len() > MAX_NAME_BYTES
            || part.iter().any(|part| !matches!(self.objects[*part], Object::Nothing))
        {
            return Err(unexpected.into());
        }
        let len = u64::try_from(*length).map_err(|_| format!("a storage of {length} numbers"))?;
        let storage = Object::Storage { key: key.clone(), kind: *kind, len };
        self.push(storage);
        Ok(())
    }

    fn view(&self, storage: Handle, offset: Handle, size: Handle, stride: Handle) -> Result<StridedView, Problem> {
        let Object::Storage { key, kind, len } = &self.objects[storage] else {
            return Err("a tensor without a storage".into());
        };
        let Object::Int(offset) = self.objects[offset] else { return Err("a tensor's offset is no number".into()) };
        let (size, stride) = (self.ints(size)?, self.ints(stride)?);
        let view = StridedView { storage: key.clone(), kind: *kind, storage_len: *len, offset, size, stride };
        match view.end() {
            Some(end) if end <= *len => Ok(view),
            _ => Err(format!(
                "a tensor {:?} with strides {:?} from {offset} on does not fit its storage of {len} numbers",
                view.size, view.stride
            )),
        }
    }

    fn ints(&self, tuple: Handle) -> Result<Vec<i64>, Problem> {
        let Object::Tuple(items) = &self.objects[tuple] else { return Err("a tensor's shape is no tuple".into()) };
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("a tensor of {} dimensions", items.len()));
        }
        let int = |item: &Handle| match self.objects[*item] {
            Object::Int(number) => Ok(number),
            _ => Err("a tensor's shape has what is no number".to_owned()),
        };
        items.iter().map(int).collect()
    }
}
