# How tests run under sanitizers, where a program takes longer to start than most of its tests take: a few processes for each
# program, every one with its share of the tests, instead of one process per TEST.

# collapsar_test_shards(<program> SECONDS <n> LEFT_OUT <gtest pattern>... LABEL <label> TIMEOUT <s> WORKING_DIRECTORY <dir>)
# SECONDS is what all tests of the program take together, roughly, empty for little; the longest begin first, so that no core
# idles in the end.
function(collapsar_test_shards program)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "SECONDS;LABEL;TIMEOUT;WORKING_DIRECTORY" "LEFT_OUT")
  if(NOT ARG_SECONDS)
    set(ARG_SECONDS 10)
  endif()
  math(EXPR shards "1 + ${ARG_SECONDS} / 40")
  math(EXPR seconds "${ARG_SECONDS} / ${shards}")
  math(EXPR last "${shards} - 1")
  list(JOIN ARG_LEFT_OUT ":" left_out)
  foreach(shard RANGE ${last})
    set(name ${program}.${shard})
    add_test(NAME ${name} COMMAND ${program} --gtest_brief=1 --gtest_filter=*:-${left_out}
             WORKING_DIRECTORY ${ARG_WORKING_DIRECTORY})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${shard}"
                         FAIL_REGULAR_EXPRESSION "PASSED  \\] 0 tests"  # nothing to do is no success
                         LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} COST ${seconds})
  endforeach()
  foreach(pattern IN LISTS ARG_LEFT_OUT)  # each still means a test
    set(name ${program}.leaves_out.${pattern})
    add_test(NAME ${name} COMMAND ${program} --gtest_list_tests --gtest_filter=${pattern})
    set_tests_properties(${name} PROPERTIES PASS_REGULAR_EXPRESSION "\n  [A-Z]" LABELS ${ARG_LABEL} TIMEOUT 60)
  endforeach()
endfunction()
