# Ways to compile everything sooner where nothing is built yet: the presets release and asan. Neither is for working on a file.

option(COLLAPSAR_BATCHES "Compile rooms in batches of files, and what all tests include once" OFF)

# A file of a batch is compiled with those before it, and most of what it includes has been read by then. So names in anonymous
# namespaces differ within a room, and within a folder of tests. Preset dev compiles each file by itself, and notices what a
# batch hides: a missing include, a name that shadows another.
function(collapsar_batches target)
  if(COLLAPSAR_BATCHES)  # a file's own types are its own, whatever the files before it have
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set(batch 0)
  set(files 0)
  foreach(source IN LISTS ARGN)
    get_source_file_property(group ${source} UNITY_GROUP)
    if(COLLAPSAR_BATCHES AND NOT group)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${batch})
      math(EXPR files "${files} + 1")
      if(files EQUAL 8)  # no more: a batch is the least there is to do, for one core
        math(EXPR batch "${batch} + 1")
        set(files 0)
      endif()
    endif()
  endforeach()
endfunction()

# collapsar_common_headers(<target> <header>...): read once, by the first target; the others must be compiled with the same options.
# ccache cannot see into such headers: with it every file reads them itself.
function(collapsar_common_headers target)
  get_property(owner GLOBAL PROPERTY collapsar_common_headers)
  if(NOT COLLAPSAR_BATCHES OR CMAKE_CXX_COMPILER_LAUNCHER MATCHES ccache)
    return()
  elseif(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY collapsar_common_headers ${target})
  endif()
endfunction()
