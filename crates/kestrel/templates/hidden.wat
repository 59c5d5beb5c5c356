;; Says whether a path has a directory that begins with a dot.
(module
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; For which version of the ABI this was written.
  (func (export "kestrel_abi_v1"))
  (func (export "is_hidden") (param $path i32) (result i32)
    ;; Patterns are known by their position in the rule file.
    (call $glob (i32.const 0) (local.get $path))))
