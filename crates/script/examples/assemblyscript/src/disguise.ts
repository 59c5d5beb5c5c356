// Programs that call themselves what only the kernel's own threads are called.
import { emit, emit_text, field, value_at, value_copy } from "./kestrel";
export { kestrel_abi_v1 } from "./kestrel";

// Texts lie in memory of fixed size: nothing is allocated, so nothing has to run before the first call.
const ROOM: i32 = 256;
const text = memory.data(256);
const key = memory.data(16);

// Writes a text where the host can read it; how long it is.
function put(to: usize, from: string): i32 {
  for (let i = 0; i < from.length; i++) store<u8>(to + i, <u8>from.charCodeAt(i));
  return from.length;
}

// Whether the first of the arguments looks like `[kworker/0:1]`.
export function as_kernel_thread(args: i32): i32 {
  const first = value_at(args, 0);
  if (first < 0) return 0;
  let len = value_copy(first, 0, <i32>text, ROOM);
  if (len < 3 || load<u8>(text) != 0x5b || load<u8>(text + len - 1) != 0x5d) return 0;
  // A text for whoever is woken up, with the program behind the name.
  emit(-1, <i32>text, put(text, "a program calls itself a kernel thread"));
  len = value_copy(field(0), 0, <i32>text, ROOM);
  emit_text(<i32>key, put(key, "executable"), <i32>text, len);
  return 1;
}
