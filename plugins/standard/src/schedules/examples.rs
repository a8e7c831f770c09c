//! Examples of schedules: the results that they give for small inputs. The plug-in's tests check them.

pub const COSINE_DECAY: &[&str] = &[
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.1}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.08145034, 0.055, 0.01, 0.01]}"#,
    r#"{"config": {"initial_learning_rate": 0.02, "decay_steps": 10, "warmup_target": 0.1, "warmup_steps": 4}, "steps": [0, 3, 5, 10, 17], "gives": [0.02, 0.08, 0.09755283, 0.03454914, 0]}"#,
];

pub const COSINE_DECAY_RESTARTS: &[&str] = &[
    r#"{"config": {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.0231802, 0.07717692, 0.0676, 0.01673792]}"#,
];

pub const EXPONENTIAL_DECAY: &[&str] = &[
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.05946035, 0.04204482, 0.01767767, 0.005255603]}"#,
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5, "staircase": true}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.1, 0.05, 0.025, 0.00625]}"#,
];

pub const INVERSE_TIME_DECAY: &[&str] = &[
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.07272727, 0.06153846, 0.04444445, 0.032]}"#,
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5, "staircase": true}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.1, 0.06666667, 0.05, 0.03333334]}"#,
];

pub const POLYNOMIAL_DECAY: &[&str] = &[
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 10, "end_learning_rate": 0.01, "power": 2.0}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.0541, 0.0325, 0.01, 0.01]}"#,
    r#"{"config": {"initial_learning_rate": 0.1, "decay_steps": 4, "cycle": true}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.025075, 0.0375625, 0.01675, 0.015085]}"#,
];

pub const PIECEWISE_CONSTANT_DECAY: &[&str] = &[
    r#"{"config": {"boundaries": [5, 10], "values": [0.1, 0.05, 0.01]}, "steps": [0, 3, 5, 10, 17], "gives": [0.1, 0.1, 0.1, 0.05, 0.01]}"#,
];
