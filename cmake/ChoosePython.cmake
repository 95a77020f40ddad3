# Which Python the module is built for. The first `python3` in PATH is often a version manager's, without the packages that
# the tests import; so each candidate is asked, and the first that has everything is taken.

string(CONCAT COLLAPSAR_PYTHON_PROBE
  "import os, sysconfig, numpy, pandas, pytest\n"
  "header = os.path.join(sysconfig.get_paths()['include'], 'Python.h')\n"
  "assert os.path.exists(header), 'no ' + header\n")

# Sets `accepted`, and `reason` to the last line of what a rejected interpreter said.
function(collapsar_probe_python interpreter accepted reason)
  execute_process(COMMAND ${interpreter} -c "${COLLAPSAR_PYTHON_PROBE}"
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE said ERROR_STRIP_TRAILING_WHITESPACE)
  string(REGEX REPLACE ".*\n" "" said "${said}")
  if(result EQUAL 0)
    set(${accepted} TRUE PARENT_SCOPE)
  else()
    set(${accepted} FALSE PARENT_SCOPE)
  endif()
  set(${reason} "${said}" PARENT_SCOPE)
endfunction()

# Fixes Python_EXECUTABLE, unless it is given.
function(collapsar_choose_python)
  if(Python_EXECUTABLE)
    return()
  endif()
  set(candidates "")
  if(DEFINED ENV{VIRTUAL_ENV})
    list(APPEND candidates "$ENV{VIRTUAL_ENV}/bin/python3")
  endif()
  find_program(first_in_path python3 NO_CACHE)
  list(APPEND candidates ${first_in_path} /usr/bin/python3)
  list(REMOVE_DUPLICATES candidates)
  set(rejected "")
  foreach(candidate IN LISTS candidates)
    collapsar_probe_python(${candidate} accepted reason)
    if(accepted)
      set(Python_EXECUTABLE ${candidate} CACHE FILEPATH "The Python that the module is built for")
      message(STATUS "Python: ${candidate}${rejected}")
      return()
    endif()
    string(APPEND rejected "\n   not ${candidate}: ${reason}")
  endforeach()
  message(FATAL_ERROR "collapsar found no Python with numpy, pandas, pytest and Python.h.${rejected}\n"
                      "Install them with:  apt-get install python3-dev python3-numpy python3-pandas python3-pytest\n"
                      "or build without the Python package:  -DCOLLAPSAR_PYTHON=OFF")
endfunction()
