# cmake --install build/release [--prefix DIR]: program, Python package, configs. All destinations are relative to the prefix.

if(TARGET collapsar)
  install(TARGETS collapsar RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES sim/run/completion/collapsar.bash RENAME collapsar
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES sim/run/completion/_collapsar DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
if(COLLAPSAR_MAN)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/man/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
endif()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/collapsar FILES_MATCHING PATTERN "*.yaml")
install(DIRECTORY traces DESTINATION ${CMAKE_INSTALL_DATADIR}/collapsar
        FILES_MATCHING PATTERN "*.ctr" PATTERN "README.md"  # the quickstart finds ../traces beside configs
        PATTERN "capture/*.[ch]" PATTERN "capture/COPYING")  # compiled by `collapsar capture` on first use
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# In the build tree the program looks beside itself for what an installed one finds in ../share.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share/collapsar)
foreach(folder configs traces)
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${folder} ${PROJECT_BINARY_DIR}/share/collapsar/${folder} SYMBOLIC)
endforeach()

# Debian's Python imports from dist-packages below /usr/local, any other from site-packages below its own prefix; with another
# prefix, PYTHONPATH must name the folder.
if(TARGET collapsar_python)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "import sysconfig; print('deb_system' in sysconfig.get_scheme_names())"
                  OUTPUT_VARIABLE python_is_debian OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(CONCAT python_dir lib/python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}/
         $<IF:$<BOOL:${python_is_debian}>,dist-packages,site-packages>)
  set(COLLAPSAR_PYTHON_DIR ${python_dir} CACHE STRING "Where the Python package goes, relative to the prefix")
  install(TARGETS collapsar_python LIBRARY DESTINATION ${COLLAPSAR_PYTHON_DIR}/collapsar)
  install(DIRECTORY python/collapsar DESTINATION ${COLLAPSAR_PYTHON_DIR}
          FILES_MATCHING PATTERN "*.py" PATTERN "*.pyi" PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)
endif()
