# As much of Zephyr as our module and applications touch, on the host: settings, modules, an application, `run`.
project(stand_in C)

set(CONFIG_TVM_TINYML_STACK_SIZE 1024)
set(CONFIG_TVM_TINYML_CORE host)
file(STRINGS ${CMAKE_SOURCE_DIR}/prj.conf settings REGEX "^CONFIG_")
foreach(setting ${settings})
  string(REGEX MATCH "^([A-Z0-9_]+)=(.*)$" setting "${setting}")
  set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()

if(BOARD STREQUAL "unknown")
  message(FATAL_ERROR "No board named '${BOARD}' found.")
endif()

add_library(zephyr_interface INTERFACE)
target_include_directories(zephyr_interface INTERFACE ${CMAKE_CURRENT_LIST_DIR}/../../../include)
target_compile_definitions(zephyr_interface INTERFACE
  CONFIG_BOARD="${BOARD}" CONFIG_TVM_TINYML_STACK_SIZE=${CONFIG_TVM_TINYML_STACK_SIZE})
target_compile_options(zephyr_interface INTERFACE -Wall -Wextra -Werror)
function(zephyr_include_directories)
  foreach(folder ${ARGV})
    get_filename_component(folder ${folder} ABSOLUTE)
    target_include_directories(zephyr_interface INTERFACE ${folder})
  endforeach()
endfunction()

add_executable(app)
target_link_libraries(app PRIVATE zephyr_interface)
foreach(module ${ZEPHYR_EXTRA_MODULES})
  add_subdirectory(${module} ${CMAKE_BINARY_DIR}/module)
endforeach()
add_custom_command(TARGET app POST_BUILD COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:app> zephyr/zephyr.elf)
add_custom_target(run COMMAND app)
