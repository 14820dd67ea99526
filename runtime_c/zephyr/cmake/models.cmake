# Functions that add compiled models to targets of a Zephyr application. They are used after find_package(Zephyr).

# tvm_tinyml_add_model(<target> <folder>)
#
# Links <target> with the model in <folder>, which `tvm-tinyml compile` wrote. Its headers are found as <model>.h, and
# <model>_selftest.h where it was compiled with --selftest. Models are compiled for speed or for size as they were
# scheduled, whatever the rest of the application is compiled for.
function(tvm_tinyml_add_model target folder)
  get_filename_component(folder "${folder}" ABSOLUTE)
  if(NOT CONFIG_TVM_TINYML)
    message(FATAL_ERROR "tvm_tinyml_add_model: set CONFIG_TVM_TINYML=y")
  endif()
  if(NOT EXISTS "${folder}/metadata.json")
    message(FATAL_ERROR "tvm_tinyml_add_model: ${folder} has no metadata.json; write it with `tvm-tinyml compile`")
  endif()
  file(READ "${folder}/metadata.json" metadata)
  string(JSON model GET "${metadata}" model)
  string(JSON compiled_for GET "${metadata}" target)
  string(JSON stack_bytes GET "${metadata}" memory stack_bytes)
  string(JSON features GET "${metadata}" features)
  string(JSON family GET "${metadata}" family)
  _tvm_tinyml_require_core("${model}, compiled for ${compiled_for}," "${family}" "${features}")
  string(JSON networks ERROR_VARIABLE none LENGTH "${metadata}" npu networks)
  if(networks GREATER 0 AND NOT CONFIG_TVM_TINYML_ETHOS_U)
    message(FATAL_ERROR "${model} runs layers on an Ethos-U: set CONFIG_TVM_TINYML_ETHOS_U=y")
  endif()
  if(stack_bytes GREATER CONFIG_TVM_TINYML_STACK_SIZE)
    message(FATAL_ERROR "${model} reserves ${stack_bytes} bytes of stack: raise CONFIG_TVM_TINYML_STACK_SIZE")
  endif()

  set(library tvm_tinyml_${model})
  if(TARGET ${library})
    message(FATAL_ERROR "there is a model ${model} already: names of models have to differ")
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  add_library(${library} STATIC ${sources})
  target_include_directories(${library} PUBLIC ${folder} ${folder}/include)
  target_link_libraries(${library} PUBLIC zephyr_interface)
  # Options of sources come last, after the optimisation level of the application.
  set(level -O2)
  if(compiled_for MATCHES "-opt=size")
    set(level -Os)
  endif()
  set_property(SOURCE ${sources} APPEND PROPERTY COMPILE_OPTIONS ${level})
  if(CONFIG_TVM_TINYML_CONSTANT_SECTION)
    string(TOUPPER ${model} upper)
    target_compile_definitions(${library} PRIVATE
      ${upper}_CONSTANT_SECTION="${CONFIG_TVM_TINYML_CONSTANT_SECTION}")
  endif()
  target_link_libraries(${target} PRIVATE ${library})
endfunction()

# tvm_tinyml_compile_model(<target> <file> [NAME <name>] [TARGET_OPTIONS <option>...] [OPTIONS <option>...])
#
# Compiles the model <file> for CONFIG_TVM_TINYML_CORE with the command tvm-tinyml, while CMake runs, and adds it with a
# self-test. The command is looked for on PATH; -DTVM_TINYML=<command> names another one.
#
# NAME           a C identifier, instead of the one that follows from the file's name
# TARGET_OPTIONS further words of the target: -ram=32K -opt=size
# OPTIONS        further options of the command: --quantize samples.npz
function(tvm_tinyml_compile_model target file)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "NAME" "TARGET_OPTIONS;OPTIONS")
  get_filename_component(file "${file}" ABSOLUTE)
  find_program(TVM_TINYML tvm-tinyml DOC "Command that compiles models")
  if(NOT TVM_TINYML)
    message(FATAL_ERROR "tvm-tinyml is not on PATH; pass -DTVM_TINYML=<its path>")
  endif()
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "there is no model ${file}")
  endif()
  get_filename_component(name "${file}" NAME_WLE)
  if(arg_NAME)
    # The name of a file is what its model is called.
    get_filename_component(extension "${file}" LAST_EXT)
    configure_file("${file}" "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}${extension}" COPYONLY)
    set(file "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}${extension}")
    set(name ${arg_NAME})
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  list(JOIN arg_TARGET_OPTIONS " " options)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/models/${name})
  execute_process(
    COMMAND ${TVM_TINYML} compile "${file}" --target "tinyml -mcpu=${CONFIG_TVM_TINYML_CORE} ${options}"
      --selftest --force --output ${folder} ${arg_OPTIONS}
    OUTPUT_QUIET RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "tvm-tinyml could not compile ${file}")
  endif()
  tvm_tinyml_add_model(${target} ${folder})
endfunction()

# Stop where the core of this build lacks what a model is compiled for.
function(_tvm_tinyml_require_core model family features)
  set(missing "")
  if(family STREQUAL "arm" AND NOT CONFIG_CPU_CORTEX_M)
    set(missing "a Cortex-M")
  elseif(family STREQUAL "riscv" AND NOT CONFIG_RISCV)
    set(missing "a RISC-V core")
  elseif(features MATCHES "\"mve\"" AND NOT CONFIG_TVM_TINYML_ISA_MVE)
    set(missing "CONFIG_TVM_TINYML_ISA_MVE")
  elseif(features MATCHES "\"rvv\"" AND NOT CONFIG_TVM_TINYML_ISA_RVV)
    set(missing "CONFIG_TVM_TINYML_ISA_RVV")
  elseif(features MATCHES "\"dsp\"" AND NOT CONFIG_TVM_TINYML_HAS_DSP)
    set(missing "a core with the DSP extension")
  elseif(family STREQUAL "arm" AND CONFIG_ARMV6_M_ARMV8_M_BASELINE AND NOT features MATCHES "\"thumb1\"")
    set(missing "a core with Thumb-2")
  endif()
  if(missing)
    message(FATAL_ERROR
      "${model} needs ${missing}; for this build compile it with -mcpu=${CONFIG_TVM_TINYML_CORE}")
  endif()
endfunction()
