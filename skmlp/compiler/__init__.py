"""How Python functions become machine code, and where that is kept.

`jit` holds the decorators with every compiler flag; `struct_pointer` passes named
tuples to kernels by pointer; `disk_cache` keeps machine code between processes, by a
hash of the `imported_code`, in a `kernel_folder` that nobody else can write, which
`cache_paths` finds; `target` is the processor that kernels are for, `target_context`
tells Numba, and `shipped` what a folder was filled for; `progress` tells a waiting user
what is compiled; `memory` begins no compilation near a limit; `pipeline` is Numba's
compiler with fewer passes, and `deferred_linking` compiles a function without linking
its callees into it. Where the installed Numba lacks a private interface that one of
these uses, public interfaces replace it, more slowly: `pipeline_choice` chooses the
compiler, and `fallback` warns.
"""
