// Says whether a path has a directory that begins with a dot.
import { glob } from "./kestrel";
export { kestrel_abi_v1 } from "./kestrel";

// Patterns are known by their position in the rule file.
const DIRECTORY: i32 = 0;

export function is_hidden(path: i32): i32 {
  return glob(DIRECTORY, path);
}
