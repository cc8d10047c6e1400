//! What all actors share.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use soloist::core::ids::{ExecutionId, InstanceId, InstanceKey, Name, TaskHub};

use crate::{
    client::Asked,
    dice::Dice,
    house::House,
    stage::{SECOND, Stage},
    witness::{Watching, Witness},
};

pub struct World {
    pub stage: Stage,
    pub dice: Arc<Dice>,
    /// Every start with a request id that was made.
    pub asked: RefCell<Vec<(InstanceKey, Asked)>>,
    pub house: House,
    witness: RefCell<Witness>,
    pub keys: Vec<InstanceKey>,
    pub functions: Vec<Name>,
    /// No more faults and no more starts: everything that is live comes to its end.
    pub calm: Cell<bool>,
    /// What is durable is compared with what the next server knows: nobody changes it any more.
    pub compared: Cell<bool>,
    /// How far each watcher that watches has come.
    pub seen: RefCell<BTreeMap<String, Watching>>,
    /// The executions that callers have heard of, for whoever asks about one.
    pub heard: RefCell<Vec<(InstanceKey, ExecutionId)>>,
}

impl World {
    pub fn new(seed: u64) -> Rc<World> {
        let dice = Arc::new(Dice::new(seed));
        let stage = Stage::new(1_700_000_000 * SECOND);
        let house = House::new(&stage, &dice);
        let witness = Witness::new(&stage, &house);
        let count = dice.between(1, 3);
        let id = |n| InstanceId::parse(&format!("i{n}")).expect("a valid id");
        Rc::new(World {
            keys: (0..count).map(|n| InstanceKey::new(&TaskHub::default(), &id(n))).collect(),
            functions: ["f", "g"].map(name).to_vec(),
            calm: Cell::new(false),
            compared: Cell::new(false),
            seen: RefCell::default(),
            heard: RefCell::default(),
            witness: RefCell::new(witness),
            asked: RefCell::default(),
            stage,
            dice,
            house,
        })
    }

    pub fn witness(&self) -> RefMut<'_, Witness> {
        self.witness.borrow_mut()
    }

    pub fn any_key(&self) -> InstanceKey {
        self.dice.pick(&self.keys).clone()
    }

    /// An execution of the instance that somebody has heard of, one of the newest.
    pub fn any_execution(&self, key: &InstanceKey) -> Option<ExecutionId> {
        let heard = self.heard.borrow();
        let of_key: Vec<ExecutionId> =
            heard.iter().rev().filter(|(of, _)| of == key).map(|(_, id)| *id).take(6).collect();
        (!of_key.is_empty()).then(|| *self.dice.pick(&of_key))
    }

    /// Rests for up to so long.
    pub async fn rest(&self, at_most: i64) {
        self.stage.sleep(self.dice.between(0, at_most)).await;
    }
}

pub fn name(text: &str) -> Name {
    Name::parse(text).expect("a valid name")
}
