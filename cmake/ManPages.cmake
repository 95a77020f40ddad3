# Man pages, made by help2man from what the program says of itself: man/man1 in the build folder.

find_program(COLLAPSAR_HELP2MAN help2man)
mark_as_advanced(COLLAPSAR_HELP2MAN)
if(NOT COLLAPSAR_HELP2MAN)
  message(FATAL_ERROR "collapsar needs help2man, which was not found.\n"
                      "Install it with:  apt-get install help2man\n"
                      "or build without man pages:  -DCOLLAPSAR_MAN=OFF")
endif()

set(man_folder ${PROJECT_BINARY_DIR}/man/man1)
add_custom_command(OUTPUT ${man_folder}/collapsar.1
                   COMMAND sh ${PROJECT_SOURCE_DIR}/cmake/man_pages.sh ${COLLAPSAR_HELP2MAN} $<TARGET_FILE:collapsar>
                           ${PROJECT_DESCRIPTION} ${man_folder}
                   DEPENDS collapsar ${PROJECT_SOURCE_DIR}/cmake/man_pages.sh
                   COMMENT "Man pages" VERBATIM)
add_custom_target(man ALL DEPENDS ${man_folder}/collapsar.1)
