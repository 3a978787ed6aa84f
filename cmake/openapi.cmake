# api/openapi.yaml as JSON, embedded into fp_api as api_openapi_json. Needs Python 3 with PyYAML at build time.
# The system's Python, which has Debian's python3-yaml; not whatever python3 comes first in PATH.
find_program(FORKPOOL_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
set(FORKPOOL_OPENAPI_JSON ${CMAKE_BINARY_DIR}/openapi.json)
add_custom_command(
  OUTPUT ${FORKPOOL_OPENAPI_JSON}
  COMMAND ${FORKPOOL_PYTHON} ${CMAKE_SOURCE_DIR}/scripts/openapi_json.py
          ${CMAKE_SOURCE_DIR}/api/openapi.yaml ${FORKPOOL_OPENAPI_JSON}
  DEPENDS ${CMAKE_SOURCE_DIR}/api/openapi.yaml ${CMAKE_SOURCE_DIR}/scripts/openapi_json.py
  COMMENT "Turning api/openapi.yaml into JSON"
  VERBATIM)
forkpool_embed(fp_api ${FORKPOOL_OPENAPI_JSON} api_openapi_json)
