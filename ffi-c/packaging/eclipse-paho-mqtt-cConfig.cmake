# The package under whose name CMake projects look for Paho C, with its targets:
#   eclipse-paho-mqtt-c::paho-mqtt3{c,cs,a,as} and the same with -static;
#   eclipse-paho-mqtt-c::ternmq and -static for programs that use ternmq.h as well.
# Everything is found from where this file lies, so the tree may be moved.

if(TARGET eclipse-paho-mqtt-c::paho-mqtt3c)
  return()
endif()

get_filename_component(_ternmq_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_ternmq_include "${_ternmq_lib}/../include" ABSOLUTE)

include(CMakeFindDependencyMacro)
find_dependency(Threads)

foreach(_ternmq_name paho-mqtt3c paho-mqtt3cs paho-mqtt3a paho-mqtt3as ternmq)
  set(_ternmq_soname "lib${_ternmq_name}.so.1")
  if(_ternmq_name STREQUAL "ternmq")
    set(_ternmq_soname "libternmq.so.0")
  endif()
  add_library(eclipse-paho-mqtt-c::${_ternmq_name} SHARED IMPORTED)
  set_target_properties(eclipse-paho-mqtt-c::${_ternmq_name} PROPERTIES
    IMPORTED_LOCATION "${_ternmq_lib}/${_ternmq_soname}"
    IMPORTED_SONAME "${_ternmq_soname}"
    INTERFACE_INCLUDE_DIRECTORIES "${_ternmq_include}")

  add_library(eclipse-paho-mqtt-c::${_ternmq_name}-static STATIC IMPORTED)
  set_target_properties(eclipse-paho-mqtt-c::${_ternmq_name}-static PROPERTIES
    IMPORTED_LOCATION "${_ternmq_lib}/lib${_ternmq_name}.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_ternmq_include}"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;m;${CMAKE_DL_LIBS};gcc_s")
endforeach()

unset(_ternmq_name)
unset(_ternmq_soname)
unset(_ternmq_lib)
unset(_ternmq_include)
