// Roles of MongoDB, one a kind of process, with no more than it does. Again does no harm: a role that is there is made like this one.
//
//   HEADRACE_MONGODB_DATABASE=headrace mongosh "mongodb://admin@mongo-1/?replicaSet=rs0&tls=true" deploy/mongodb/roles.js
//
// Then make the users, each with a password of its own (docs/operations.md):
//
//   use headrace
//   db.createUser({user: "gateway", pwd: passwordPrompt(), roles: ["headraceGateway"]})
//
// The audit log is appended to and read, and never changed. Only `headraceOps` (`headrace migrate`) makes indexes; the others look
// whether they are there. Every collection of schemas/names.py is listed, also where a role may do nothing with it.

// Between the braces is JSON: the tests read it.
const ROLES = {
  "headraceGateway": {
    "users": ["find", "insert", "update", "listIndexes"],
    "sessions": ["find", "insert", "update", "remove", "listIndexes"],
    "conversations": ["find", "listIndexes"],
    "members": ["find", "listIndexes"],
    "messages": ["find", "listIndexes"],
    "operations": [],
    "blocks": ["find", "listIndexes"],
    "marks": ["find", "listIndexes"],
    "attachments": ["find", "insert", "update", "remove", "listIndexes"],
    "audit": ["find", "insert", "listIndexes"],
    "webhooks": ["find", "insert", "update", "remove", "listIndexes"],
    "webhook_deliveries": ["remove", "listIndexes"],
    "bot_tokens": ["find", "insert", "update", "listIndexes"],
    "layout": ["find"]
  },
  "headraceConsumers": {
    "users": ["listIndexes"],
    "sessions": ["listIndexes"],
    "conversations": ["find", "insert", "update", "listIndexes"],
    "members": ["find", "insert", "update", "listIndexes"],
    "messages": ["find", "insert", "update", "listIndexes"],
    "operations": ["find", "insert"],
    "blocks": ["find", "insert", "update", "listIndexes"],
    "marks": ["find", "insert", "update", "listIndexes"],
    "attachments": ["find", "update", "remove", "listIndexes"],
    "audit": ["find", "insert", "listIndexes"],
    "webhooks": ["find", "insert", "update", "listIndexes"],
    "webhook_deliveries": ["find", "insert", "remove", "listIndexes"],
    "bot_tokens": ["listIndexes"],
    "layout": ["find"]
  },
  "headraceOps": {
    "users": ["find", "update", "listIndexes", "createIndex"],
    "sessions": ["find", "update", "remove", "listIndexes", "createIndex"],
    "conversations": ["find", "update", "listIndexes", "createIndex"],
    "members": ["find", "listIndexes", "createIndex"],
    "messages": ["find", "listIndexes", "createIndex"],
    "operations": [],
    "blocks": ["find", "remove", "listIndexes", "createIndex"],
    "marks": ["find", "remove", "listIndexes", "createIndex"],
    "attachments": ["find", "update", "remove", "listIndexes", "createIndex"],
    "audit": ["find", "insert", "listIndexes", "createIndex"],
    "webhooks": ["find", "insert", "update", "remove", "listIndexes", "createIndex"],
    "webhook_deliveries": ["find", "remove", "listIndexes", "createIndex"],
    "bot_tokens": ["find", "update", "listIndexes", "createIndex"],
    "layout": ["find", "insert"]
  }
};

const database = db.getSiblingDB(process.env.HEADRACE_MONGODB_DATABASE || "headrace");

for (const [role, collections] of Object.entries(ROLES)) {
  const privileges = Object.entries(collections)
    .filter(([, actions]) => actions.length > 0)
    .map(([collection, actions]) => ({ resource: { db: database.getName(), collection }, actions }));
  if (database.getRole(role)) {
    database.updateRole(role, { privileges, roles: [] });
  } else {
    database.createRole({ role, privileges, roles: [] });
  }
  print(`${database.getName()}.${role}: ${privileges.length} collections`);
}
