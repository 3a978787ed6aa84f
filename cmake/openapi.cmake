# api/openapi.yaml as JSON, embedded into fp_api as api_openapi_json. Needs Python 3 with PyYAML at build time.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(FORKPOOL_OPENAPI_JSON ${CMAKE_BINARY_DIR}/openapi.json)
add_custom_command(
  OUTPUT ${FORKPOOL_OPENAPI_JSON}
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/scripts/openapi_json.py
          ${CMAKE_SOURCE_DIR}/api/openapi.yaml ${FORKPOOL_OPENAPI_JSON}
  DEPENDS ${CMAKE_SOURCE_DIR}/api/openapi.yaml ${CMAKE_SOURCE_DIR}/scripts/openapi_json.py
  COMMENT "Turning api/openapi.yaml into JSON"
  VERBATIM)
forkpool_embed(fp_api ${FORKPOOL_OPENAPI_JSON} api_openapi_json)
