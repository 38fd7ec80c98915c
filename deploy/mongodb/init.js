// Run by mongosh in the container mongodb-init. Every step is harmless when its result is there already.
const admin = db.getSiblingDB("admin");
admin.auth(process.env.MONGO_INITDB_ROOT_USERNAME, process.env.MONGO_INITDB_ROOT_PASSWORD);

try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongodb:27017" }] });
}

for (let waited = 0; !db.hello().isWritablePrimary; waited++) {
  if (waited === 60) throw new Error("the replica set has no primary after 60 s");
  sleep(1000);
}

// What a connector needs: to read the collections, and to open change streams on them.
const roles = [{ role: "read", db: "shop" }];
if (admin.getUser("tillguard") === null) {
  admin.createUser({ user: "tillguard", pwd: process.env.CONNECTOR_PASSWORD, roles });
} else {
  admin.updateUser("tillguard", { pwd: process.env.CONNECTOR_PASSWORD, roles });
}

const shop = db.getSiblingDB("shop");
for (const name of ["orders", "chargebacks", "reviews"]) {
  if (shop.getCollectionInfos({ name }).length === 0) shop.createCollection(name);
}
shop.orders.createIndex({ placed_at: 1 });
