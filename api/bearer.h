/* Who asks: the bearer token of a request (RFC 6750) and what it allows.
 *
 * Loop threads. With any other auth.mode than token everybody may do everything. A token is looked up anew
 * for each question, in the rules as they are then, so nothing of it is kept in the request.
 *
 *     if (!bearer_allows(request, request->route->scope))
 *         return ANSWERED;
 */
#ifndef FORKPOOL_BEARER_H
#define FORKPOOL_BEARER_H

#include "http.h"
#include "token.h"

/* True if the request may do what needs this scope; false: the reply is 401 or 403. */
bool bearer_allows(struct request *request, enum scope needed);

/* True if it has a token that is in force, or none is needed; false: the reply is 401. */
bool bearer_known(struct request *request);

/* The token in the value of Authorization; false if there is none. */
bool bearer_read(const char *value, struct text *token);

#endif
